"""Ends streams whose caller loses the access that they need."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from holdfast_server.domain.access import Caller, Role
from holdfast_server.errors import DomainError, Unauthenticated
from holdfast_server.rpc.admission import still_holds, withdrawn
from holdfast_server.rpc.places import Place
from holdfast_server.services.access import authenticate_again
from holdfast_server.services.ports.database import Database, Transaction

# Seconds between looks for what other processes changed, and for tokens that expired; what this process changes counts
# at once.
INTERVAL = 0.2


@dataclass(slots=True, eq=False)
class OpenCall:
    """A stream that goes on.

    Attributes:
        task: What answers it.
        caller: Who made it.
        expire_time: When its token expires, in milliseconds since 1970; None: never.
        held: What it needs.
        failure: Why it was ended.
    """

    task: asyncio.Task[object]
    caller: Caller
    expire_time: int | None
    held: tuple[tuple[Place, Role], ...] = ()
    failure: DomainError | None = None

    def end(self, failure: DomainError) -> None:
        """End it; its caller is told why."""
        self.failure = failure
        self.task.cancel()


class OpenCalls:
    """The streams of this process. Use from one event loop; the database is looked at only while there are some."""

    def __init__(self, database: Database, interval: float = INTERVAL) -> None:
        self._database, self._interval = database, interval
        self._calls: set[OpenCall] = set()
        self._task: asyncio.Task[None] | None = None
        self._generation = -1

    def add(self, call: OpenCall, generation: int) -> None:
        """Look after a call that was judged as of ``generation``."""
        # The older one of those that counted when calls were judged: a change since then is looked at.
        self._generation = min(self._generation, generation) if self._calls else generation
        self._calls.add(call)
        if self._task is None:
            self._task = asyncio.create_task(self._follow())

    def remove(self, call: OpenCall) -> None:
        """Forget a call that ended."""
        self._calls.discard(call)

    def stop(self) -> None:
        """Look after none any more."""
        if self._task is not None:
            self._task.cancel()

    async def look(self) -> None:
        """End those that may not go on, if anything changed since they were looked at last."""
        calls = [call for call in self._calls if call.failure is None]
        failures = await self._database.read(lambda tx: self._failures(tx, calls))
        for call, failure in failures:
            call.end(failure)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if not self._calls:
                continue
            with contextlib.suppress(DomainError):  # the database cannot be read right now
                await self.look()

    def _failures(self, tx: Transaction, calls: list[OpenCall]) -> list[tuple[OpenCall, DomainError]]:
        generation = tx.access.generation()
        changed, self._generation = generation != self._generation, generation
        looked_at = [c for c in calls if changed or (c.expire_time is not None and c.expire_time <= tx.now_ms)]
        found = ((call, _failure(tx, call)) for call in looked_at)
        return [(call, failure) for call, failure in found if failure is not None]


def _failure(tx: Transaction, call: OpenCall) -> DomainError | None:
    if not call.caller.token_id:
        return None  # the owner's
    try:
        caller = authenticate_again(tx, call.caller.token_id).caller
    except Unauthenticated as failure:
        return failure
    holds = still_holds(tx, caller)
    return None if all(map(holds, call.held)) else withdrawn(caller)
