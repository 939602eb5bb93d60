"""gRPC calls that Ctrl-C cannot lose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Calls:
    """Starts calls in a thread of its own and cancels them when it is closed.

    Ctrl-C is raised in the main thread, also in the middle of gRPC's own code that starts a call: nobody would then
    have the call to cancel it, and threads of gRPC would serve it until its deadline.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="holdfast-call")
        self._lock = threading.Lock()
        self._calls: set[Any] = set()
        self._closed = False

    def start(self, method: Callable[..., Any], request: object, **options: Any) -> Future[Any]:
        """Start ``method.future``; its call is the future's result."""
        return self._pool.submit(self._start, method, request, options)

    def finish(self, started: Future[Any]) -> Any:
        """Wait for the answer of a call.

        Raises:
            grpc.RpcError: As the call ended.
            grpc.FutureCancelledError: This was closed meanwhile.
        """
        call = started.result()
        answer = call.result()
        with self._lock:
            self._calls.discard(call)
        return answer

    def close(self) -> None:
        """Cancel what is under way. From any thread."""
        with self._lock:
            self._closed = True
            for call in self._calls:
                call.cancel()
        self._pool.shutdown(wait=True)

    def _start(self, method: Any, request: object, options: dict[str, Any]) -> Any:
        call = method.future(request, **options)
        with self._lock:
            self._calls.add(call)
            if self._closed:
                call.cancel()
        return call
