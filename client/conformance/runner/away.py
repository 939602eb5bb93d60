"""A server whose store is away at first: it answers, and says what it lacks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.rpc import error_details_pb2, status_pb2

# From the first call on: longer than a client waits for a server that it never heard, shorter than for one that it did.
AWAY_SECONDS = 7.0
_TEXT = "The block store does not answer; the server tries again."


class AwayServer(grpc.GenericRpcHandler):
    """Refuses calls for some seconds from the first one on, and then hands them on to a server that does them.

    The first one it refuses without a reason, as what stands before a server that is only starting would. It knows
    calls of one message and one answer, of any service.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, host: str, port: int) -> None:
        self._back_at: float | None = None
        self._lock = threading.Lock()
        self._behind = grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)])
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=[self], options=[("grpc.so_reuseport", 0)])
        self.port = self._server.add_insecure_port(f"{host}:0")
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """As gRPC asks for whoever answers a call."""
        method = handler_call_details.method

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            is_first, is_away = self._look()
            if is_first:
                context.abort(grpc.StatusCode.UNAVAILABLE, "no upstream")
            if is_away:
                status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=_TEXT)
                status.details.add().Pack(error_details_pb2.ErrorInfo(reason="UNAVAILABLE", domain="holdfast"))
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
                context.abort(grpc.StatusCode.UNAVAILABLE, _TEXT)
            behind: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._behind.unary_unary(method)
            return behind(request, timeout=context.time_remaining())

        return grpc.unary_unary_rpc_method_handler(answer)

    def close(self) -> None:
        """End it, with the calls that it has."""
        self._server.stop(None).wait()
        self._behind.close()

    def _look(self) -> tuple[bool, bool]:
        """Whether a call is the first one, and whether the store is away."""
        with self._lock:
            now, is_first = time.monotonic(), self._back_at is None
            if self._back_at is None:
                self._back_at = now + AWAY_SECONDS
            return is_first, now < self._back_at
