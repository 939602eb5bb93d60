"""A bound on the bytes that all streams of the process hold in memory together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds that a stream may keep others waiting for bytes that it holds while its peer sends what belongs to them, or
# takes what it holds.
PATIENCE = 3.0


class ByteBudget:
    """Bytes to be had, first come first served. Use from one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._lent: dict[Share, None] = {}

    @property
    def limit(self) -> int:
        """Bytes there are in all."""
        return self._limit

    @property
    def used(self) -> int:
        """Bytes handed out."""
        return self._limit - self._free

    @property
    def waiters(self) -> int:
        """How many wait for bytes."""
        return len(self._waiting)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for bytes."""
        return bool(self._waiting)

    def has_free(self, size: int) -> bool:
        """Whether ``acquire`` would not wait."""
        return not self._waiting and min(size, self._limit) <= self._free

    async def acquire(self, size: int) -> None:
        """Wait until ``size`` bytes are free, and take them. More than the limit counts as the limit.

        Meanwhile those give way whose peers take nothing.
        """
        size = min(size, self._limit)
        if self.has_free(size):
            self._free -= size
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((size, place))
        try:
            while not (await asyncio.wait({place}, timeout=PATIENCE / 4))[0]:
                for share in list(self._lent):
                    if share.is_overdue:
                        share.give_way()
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

    def lend(self, share: Share) -> None:
        """Remember who may be asked to give way."""
        self._lent[share] = None

    def forget(self, share: Share) -> None:
        """Ask it no more."""
        self._lent.pop(share, None)

    def _hand_out(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, place = self._waiting.popleft()
            if not place.done():
                self._free -= size
                place.set_result(None)


class Share:
    """What one stream holds of a budget, and since when."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._since = 0.0
        self._let_go: Callable[[], None] | None = None
        self.held = 0

    @property
    def is_overdue(self) -> bool:
        """Whether others wait for what is held here, and have to for long."""
        overdue = asyncio.get_running_loop().time() - self._since >= PATIENCE
        return bool(self.held) and overdue and self._budget.is_wanted

    def has_free(self, size: int) -> bool:
        """Whether ``acquire`` would not wait."""
        return self._budget.has_free(size)

    async def acquire(self, size: int) -> None:
        """Take further bytes. Who holds some and cannot go on without more must give them back before: see above."""
        size = min(size, self._budget.limit)
        await self._budget.acquire(size)
        if not self.held:
            self._since = asyncio.get_running_loop().time()
        self.held += size

    def lend(self, let_go: Callable[[], None] | None = None) -> None:
        """Let what is held be taken back when others wait and the peer takes nothing; ``let_go`` is called then."""
        self._let_go = let_go
        self._since = asyncio.get_running_loop().time()
        self._budget.lend(self)

    def touch(self) -> None:
        """The peer took something."""
        self._since = asyncio.get_running_loop().time()

    def give_way(self) -> None:
        """Give all of it back, and tell who lent it."""
        let_go = self._let_go
        self.keep(0)
        if let_go is not None:
            let_go()

    def keep(self, size: int) -> None:
        """Give back what is held over ``size``. Nobody is asked to give way any more."""
        self._let_go = None
        self._budget.forget(self)
        size = min(size, self.held)
        self._budget.release(self.held - size)
        self.held = size

    def hand_over(self) -> int:
        """Make what is held the caller's, who gives it back to the budget."""
        held, self.held = self.held, 0
        return held


async def read_attentively(requests: AsyncIterator[T], give_way: Callable[[], Awaitable[None]]) -> AsyncIterator[T]:
    """The messages of a stream; ``give_way`` is called before each, and every ``PATIENCE`` seconds while none comes."""
    while True:
        coming = asyncio.ensure_future(anext(requests, None))
        try:
            while not coming.done():
                await asyncio.wait((coming,), timeout=PATIENCE)
                await give_way()
        except BaseException:
            coming.cancel()
            coming.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody else looks
            raise
        message = coming.result()
        if message is None:
            return
        yield message
