"""How long a peer that is refused is read, and when it is not."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from holdfast_server.rpc import incoming
from holdfast_server.rpc.incoming import Incoming


class Context:
    """gRPC's context of a call, whose messages come from a queue; None: the peer is done."""

    def __init__(self, *messages: bytes | None) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for message in messages:
            self.queue.put_nowait(message)
        self.reads = 0

    async def read(self) -> object:
        self.reads += 1
        message = await self.queue.get()
        return grpc.aio.EOF if message is None else message


async def test_it_is_read_to_its_end_at_its_pace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(incoming, "DRAIN_PAUSE", 60.0)
    context = Context(b"a", b"bb", b"ccc", None)
    messages = Incoming(context)
    assert await anext(messages) == b"a"
    paced: list[int] = []

    async def pace(size: int) -> None:
        paced.append(size)

    await messages.drain(60, pace)
    assert paced == [2, 3]
    assert [message async for message in messages] == []
    await messages.drain(60, None)
    assert context.reads == 4


async def test_one_that_sends_nothing_is_done():
    context = Context()
    await Incoming(context).drain(60, None)
    assert context.reads == 1


async def test_one_that_goes_on_for_ever_is_not_read_for_ever():
    class Endless(Context):
        async def read(self) -> object:
            self.reads += 1
            await asyncio.sleep(0.001)
            return b"more"

    context = Endless()
    await Incoming(context).drain(0.05, None)
    assert context.reads >= 1


async def test_nothing_is_read_where_a_message_was_waited_for_in_vain():
    """gRPC takes no second read, and keeps what it makes for it."""
    context = Context()
    messages = Incoming(context)
    waiting = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    context.queue.put_nowait(b"late")
    await messages.drain(60, None)
    assert context.reads == 1
    assert [message async for message in messages] == []


async def test_a_drain_that_is_cancelled_ends():
    context = Context()
    draining = asyncio.ensure_future(Incoming(context).drain(60, None))
    await asyncio.sleep(0)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
