"""A pool of threads that keeps to the call that work is done for, and tells how much of it waits."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class CallThreads(ThreadPoolExecutor):
    """Runs work in the context of who submits it, so that what it logs has the request id of the call."""

    def __init__(self, max_workers: int, *, name: str, initializer: Callable[[], None] | None = None) -> None:
        super().__init__(max_workers, thread_name_prefix=name, initializer=initializer)

    @property
    def waiting(self) -> int:
        """Pieces of work that no thread has begun."""
        return self._work_queue.qsize()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn`` in a thread."""
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)  # type: ignore[arg-type]  # as typed
