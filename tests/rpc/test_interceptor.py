"""What the interceptor does when a call ends at a bad moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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

    handler = await intercepted(grpc.unary_unary_rpc_method_handler(behavior, refuse, None))
    with pytest.raises(asyncio.CancelledError):
        await handler.stream_unary(None, Context(failure, message))


class Peer:
    """One whose messages come, and who takes answers, when the test says so."""

    def __init__(self) -> None:
        self.turns: asyncio.Queue[None] = asyncio.Queue()
        self.moves = 0

    @staticmethod
    def peer() -> str:
        return "unix:"

    async def write(self, answer: bytes) -> None:
        await self._move()

    async def read(self) -> bytes:
        await self._move()
        return b"message"

    async def _move(self) -> None:
        await self.turns.get()
        self.moves += 1


@pytest.mark.parametrize("moving", ["up", "down"])
async def test_a_stream_ends_that_is_ended_as_a_message_passes(moving: str) -> None:
    async def behavior(requests: Any, context: Any) -> AsyncIterator[bytes]:
        if moving == "up":
            async for _ in requests:
                pass
        while True:
            yield b"answer"

    peer = Peer()
    handler = await intercepted(grpc.stream_stream_rpc_method_handler(behavior, bytes, bytes))
    task = asyncio.create_task(handler.stream_stream(None, peer))
    for rounds in range(1, 4):
        peer.turns.put_nowait(None)
        while peer.moves < rounds:  # noqa: ASYNC110 - the stream is to be ended at the next step of the loop, not later
            await asyncio.sleep(0)
    task.cancel()
    _, going = await asyncio.wait([task], timeout=5)
    task.cancel()
    assert not going
    assert task.cancelled()


async def intercepted(method: Any) -> Any:
    async def continuation(_: Any) -> Any:
        return method

    class Details:
        method = "/holdfast.v1.RunService/GetRun"

    return await ErrorInterceptor(idle_timeout=60).intercept_service(continuation, Details())  # type: ignore[arg-type]
