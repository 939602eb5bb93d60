"""A bound on the bytes that all streams of the process hold in memory together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque


class ByteBudget:
    """Bytes to be had, first come first served. Use from one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def limit(self) -> int:
        """Bytes there are in all."""
        return self._limit

    @property
    def used(self) -> int:
        """Bytes handed out."""
        return self._limit - self._free

    def has_free(self, size: int) -> bool:
        """Whether ``acquire`` would not wait."""
        return not self._waiting and min(size, self._limit) <= self._free

    async def acquire(self, size: int) -> None:
        """Wait until ``size`` bytes are free, and take them. More than the limit counts as the limit."""
        size = min(size, self._limit)
        if self.has_free(size):
            self._free -= size
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((size, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release(size)  # the bytes came in the same moment
            else:
                with contextlib.suppress(ValueError):  # somebody else's cancellation passed it over already
                    self._waiting.remove((size, place))
                self._hand_out()
            raise

    def release(self, size: int) -> None:
        """Give bytes back."""
        self._free += min(size, self._limit)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, place = self._waiting.popleft()
            if not place.done():
                self._free -= size
                place.set_result(None)
