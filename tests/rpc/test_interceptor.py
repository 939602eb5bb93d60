"""What the interceptor does when the peer goes away at the moment that it is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc

from holdfast_server.rpc.interceptor import ErrorInterceptor


class Context:
    """That of a call which is over; its peer went away while it was read from, or answered."""

    def __init__(self, failure: Exception, message: Any) -> None:
        self._failure, self._message = failure, message

    async def read(self) -> Any:
        if self._message is None:
            raise self._failure
        return self._message

    async def abort(self, *_: object) -> None:
        raise self._failure

    @staticmethod
    def trailing_metadata() -> None:
        return None


GONE = [cygrpc.ExecuteBatchError("Failed"), grpc.aio.UsageError("RPC already finished.")]


@pytest.mark.parametrize("failure", GONE, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("message", [None, grpc.aio.EOF, b"\xff"], ids=["unread", "none", "malformed"])
async def test_a_peer_that_is_gone_when_it_is_answered_is_no_defect(failure: Exception, message: Any) -> None:
    async def behavior(request: Any, context: Any) -> bytes:
        raise AssertionError("there is no request")

    def refuse(data: bytes) -> bytes:
        raise ValueError(data)

    async def continuation(_: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(behavior, refuse, None)

    class Details:
        method = "/holdfast.v1.RunService/GetRun"

    handler = await ErrorInterceptor(idle_timeout=60).intercept_service(continuation, Details())  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await handler.stream_unary(None, Context(failure, message))
