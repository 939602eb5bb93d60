"""Hands events to those who watch, with one look at the database for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator

from holdfast_server.domain.event import Event, Scope, Subject, concerns_runs
from holdfast_server.errors import DomainError, Unavailable
from holdfast_server.services.cursors import WatchStart, check_kept
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.timing_out import within

logger = logging.getLogger(__name__)

# Seconds between looks for what other processes did; what this process does is seen at once.
INTERVAL = 0.2
# Seconds after a look that found something, so that many commits are one look.
PAUSE = 0.01
# Events of one look, of one read of a watch that is behind, and those that wait for a watch before it counts as behind.
LOOK, PAGE, QUEUE = 1_000, 200, 100


class EventHub:
    """Gives each watch the events of its scope, whichever process made them. Use from one event loop.

    One task reads new events, only while somebody watches. A watch that does not take its events in time gets none in
    memory any more: it reads them from the table when it is ready, so slow watches cost no memory.
    """

    def __init__(self, database: Database, interval: float = INTERVAL) -> None:
        self._database, self._interval = database, interval
        self._watches: dict[Scope, set[Watch]] = {}
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stopped = False
        # The sequence of the last event that was handed out; good only while the task runs.
        self.reached = 0
        database.on_events(self._on_events)

    def watch(self, start: WatchStart) -> Watch:
        """Begin a watch; close it in the end."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self.reached = start.newest
            self._task = asyncio.create_task(self._follow())
        watch = Watch(self, start)
        self._watches.setdefault(start.scope, set()).add(watch)
        return watch

    def remove(self, watch: Watch) -> None:
        """Forget a watch."""
        others = self._watches.get(watch.scope, set())
        others.discard(watch)
        if not others:
            self._watches.pop(watch.scope, None)

    def stop(self) -> None:
        """End all watches: streams that would go on for ever must not hold the server up when it stops."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    def refuse_if_stopped(self) -> None:
        """End a watch when the server stops.

        Raises:
            Unavailable: It does.
        """
        if self._stopped:
            raise Unavailable("The server is stopping; go on with the newest cursor.")

    async def read(self, watch: Watch) -> tuple[list[Event], int]:
        """The next events of a watch from the table, and the newest sequence at that moment.

        Raises:
            OutOfRange: CURSOR_EXPIRED, the watch was so slow that they are gone.
        """

        def job(tx: Transaction) -> tuple[list[Event], int]:
            check_kept(tx, watch.position)
            return tx.events.list_of(watch.scope, watch.position, PAGE), tx.events.newest()

        return await self._database.read(job)

    def _on_events(self) -> None:
        """Look at once; called from the thread that commits."""
        if self._watches and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _follow(self) -> None:
        try:
            while self._watches:
                self._wake.clear()
                found = await self._look()
                if found == LOOK:
                    continue
                if found:
                    await asyncio.sleep(PAUSE)
                with contextlib.suppress(asyncio.TimeoutError):
                    async with within(self._interval):
                        await self._wake.wait()
        finally:
            self._task = None

    async def _look(self) -> int:
        try:
            events = await self._database.read(lambda tx: tx.events.list_all(self.reached, LOOK))
        except DomainError as error:
            logger.warning("events cannot be read right now: %s", error.message)
            return 0
        except Exception:
            logger.exception("reading events failed; it is tried again soon")
            return 0
        for event in events:
            for watch in self._concerned(event):
                watch.give(event)
            self.reached = event.sequence
        return len(events)

    def _concerned(self, event: Event) -> Iterator[Watch]:
        if event.experiment_id is None:
            yield from self._watches.get(Scope.registered_model(event.number), ())
            return
        yield from self._watches.get(Scope.experiment(event.experiment_id), ())
        if event.subject is Subject.RUN:
            yield from self._watches.get(Scope.run(event.number, event.experiment_id), ())
        elif concerns_runs(event):
            for scope, watches in self._watches.items():
                if scope.subject is Subject.RUN and scope.experiment_id == event.experiment_id:
                    yield from watches


class Watch:
    """The events of one scope in their order, for one reader.

    Attributes:
        scope: What it covers.
        position: The sequence up to which the reader has had everything.
    """

    def __init__(self, hub: EventHub, start: WatchStart) -> None:
        self._hub = hub
        self.scope, self.position = start.scope, start.after
        self._waiting: deque[Event] = deque()
        self._behind = start.after < max(start.newest, hub.reached)
        self._ready: asyncio.Future[None] | None = None

    async def next(self, timeout: float) -> list[Event]:
        """What came since the last time, waiting up to ``timeout`` seconds for it; empty when nothing did.

        Raises:
            OutOfRange: CURSOR_EXPIRED.
            Unavailable: The server is stopping.
        """
        self._hub.refuse_if_stopped()
        while self._behind:
            events, newest = await self._hub.read(self)
            is_all = len(events) < PAGE
            self.position = newest if is_all else events[-1].sequence
            # From here to the return nothing else runs, so what is handed out later is what was not read.
            self._behind = not is_all or newest < self._hub.reached
            if events:
                return events
        if not self._waiting:
            await self._wait(timeout)
        if self._behind:
            return []
        events = [event for event in self._waiting if event.sequence > self.position]
        self._waiting.clear()
        self.position = max(self.position, self._hub.reached)
        return events

    def give(self, event: Event) -> None:
        """Take an event; too many, and the watch reads them from the table."""
        if self._behind:
            return
        self._waiting.append(event)
        if len(self._waiting) > QUEUE:
            self._behind = True
            self._waiting.clear()
        self.wake()

    def wake(self) -> None:
        """End the reader's waiting."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def close(self) -> None:
        """End it."""
        self._hub.remove(self)

    async def _wait(self, timeout: float) -> None:
        self._ready = asyncio.get_running_loop().create_future()
        try:
            async with within(timeout):
                await self._ready
        except asyncio.TimeoutError:
            pass
        finally:
            self._ready = None
        self._hub.refuse_if_stopped()
