"""Ends streams whose caller loses the access that they need."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from holdfast_server.domain.access import Caller, Role
from holdfast_server.errors import DomainError, Unauthenticated
from holdfast_server.rpc.admission import still_holds, withdrawn
from holdfast_server.rpc.places import Place
from holdfast_server.services.access import authenticate_again
from holdfast_server.services.ports.database import Database, Transaction

logger = logging.getLogger(__name__)

# Seconds between looks for what other processes changed, and for tokens that expired; what this process changes counts
# at once.
INTERVAL = 0.2
Held = tuple[tuple[Place, Role], ...]


@dataclass(slots=True, eq=False)
class OpenCall:
    """A stream that goes on.

    Attributes:
        task: What answers it.
        caller: Who made it.
        generation: Of access, as of which it was looked at last.
        expire_time: When its token expires, in milliseconds since 1970; None: never.
        held: What it needs.
        failure: Why it was ended.
    """

    task: asyncio.Task[object]
    caller: Caller
    generation: int
    expire_time: int | None
    held: Held = ()
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

    def add(self, call: OpenCall) -> None:
        """Look after a call."""
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
        held = [call.held for call in calls]
        generation, failures = await self._database.read(lambda tx: _look(tx, calls, held))
        for call, needed, failure in zip(calls, held, failures, strict=True):
            if failure is not None and call in self._calls:
                call.end(failure)
            elif call.held is needed:  # one that found out meanwhile what it needs is looked at again
                call.generation = generation

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if not self._calls:
                continue
            try:
                await self.look()
            except Exception:
                logger.exception("open calls could not be looked at; it is tried again")


def _look(tx: Transaction, calls: list[OpenCall], held: list[Held]) -> tuple[int, list[DomainError | None]]:
    """The generation of access now, and why each call may not go on; None: it may."""
    generation = tx.access.generation()
    return generation, [_failure(tx, call, needed, generation) for call, needed in zip(calls, held, strict=True)]


def _failure(tx: Transaction, call: OpenCall, held: Held, generation: int) -> DomainError | None:
    expired = call.expire_time is not None and call.expire_time <= tx.now_ms
    if not call.caller.token_id or (call.generation == generation and not expired):
        return None  # the owner needs nothing that could be lost
    try:
        known = authenticate_again(tx, call.caller.token_id)
    except Unauthenticated as failure:
        return failure
    call.expire_time = known.expire_time  # a worker's moves
    holds = still_holds(tx, known.caller)
    return None if all(map(holds, held)) else withdrawn(known.caller)
