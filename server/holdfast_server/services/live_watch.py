"""Wakes those who wait for files to grow, with one look at the database for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from holdfast_server.errors import DomainError, Unavailable
from holdfast_server.services.ports.database import Database
from holdfast_server.timing_out import within

logger = logging.getLogger(__name__)

INTERVAL = 0.2


class LiveWatch:
    """Waits for appends, closings and replacements, whichever process makes them. Use from one event loop.

    A thousand readers of one log would ask the database five thousand times a second. Here one task asks for all, and
    only while somebody waits; what this process itself appends is told at once.
    """

    def __init__(self, database: Database, interval: float = INTERVAL) -> None:
        self._database, self._interval = database, interval
        # For each file, those who wait and the size that each of them has seen.
        self._waiting: dict[int, dict[asyncio.Future[None], int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    async def wait(self, number: int, size: int, timeout: float) -> bool:
        """Return when file ``number`` is open with another size than ``size``, or not open; False after ``timeout`` s.

        Raises:
            Unavailable: The server is stopping.
        """
        self._refuse_if_stopped()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(number, {})[place] = size
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            async with within(timeout):
                await place
        except asyncio.TimeoutError:
            return False
        finally:
            others = self._waiting.get(number, {})
            others.pop(place, None)
            if not others:
                self._waiting.pop(number, None)
        self._refuse_if_stopped()
        return True

    def notify(self, number: int) -> None:
        """Wake all who wait for a file."""
        for place in self._waiting.get(number, {}):
            _wake(place)

    def stop(self) -> None:
        """Wake everybody: streams that would go on for hours must not hold the server up when it stops."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        for number in self._waiting:
            self.notify(number)

    def _refuse_if_stopped(self) -> None:
        if self._stopped:
            raise Unavailable("The server is stopping; go on from the offset that was reached.")

    async def _look(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._interval)
                try:
                    numbers = list(self._waiting)
                    self._compare(await self._database.read(lambda tx, n=numbers: tx.live.sizes(n)))  # type: ignore[misc]
                except DomainError as error:
                    logger.warning("live artifacts cannot be watched right now: %s", error.message)
        finally:
            self._task = None

    def _compare(self, sizes: Mapping[int, int]) -> None:
        for number, places in self._waiting.items():
            for place, size in places.items():
                if sizes.get(number) != size:
                    _wake(place)


def _wake(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_result(None)
