"""The messages that a call brings, as gRPC hands them over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from holdfast_server.timing_out import within

# Takes the bytes of a message, and waits for as long as they want.
Pace = Callable[[int], Awaitable[None]]
# What gRPC raises when the peer went away while something was on its way to it. There is nobody to tell.
CALL_IS_OVER = (grpc.aio.InternalError, grpc.aio.UsageError)
# How long nothing comes before a peer that is refused counts as done.
DRAIN_PAUSE = 0.2


class Incoming:
    """Iterates over the messages of a call. One that was waited for in vain is the last: gRPC takes no second read."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._may_read = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._may_read:
            raise StopAsyncIteration
        self._may_read = False  # as long as this waits, and from then on if that is cancelled
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        self._may_read = True
        return bytes(message)

    async def drain(self, seconds: float, pace: Pace | None) -> None:
        """Read what a refused peer is about to send: some clients lose a status that comes while they write.

        Nothing is read where a message was waited for in vain: its status is sent at once, whatever the peer does.
        """
        end = time.monotonic() + seconds
        with contextlib.suppress(asyncio.TimeoutError, StopAsyncIteration, *CALL_IS_OVER):
            while time.monotonic() < end:
                async with within(DRAIN_PAUSE):
                    message = await anext(self)
                if pace is not None:
                    await pace(len(message))
