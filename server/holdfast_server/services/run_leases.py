"""Liveness of runs: their clients renew leases; a run whose lease runs out is marked as lost until they are back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast_server.domain.access import ResourceKind, Role
from holdfast_server.domain.event import EventType
from holdfast_server.domain.names import check_count, check_run_id
from holdfast_server.domain.run import RunInfo, RunStatus
from holdfast_server.errors import DomainError
from holdfast_server.services.access import may
from holdfast_server.services.callers import current_caller
from holdfast_server.services.changes import run_changed
from holdfast_server.services.ports.database import Database, Transaction

logger = logging.getLogger(__name__)

MAX_RENEWED = 1_000
# Runs that one transaction marks as lost.
STEP = 500


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What leases a server gives.

    Attributes:
        length_ms: How long one is good for without being renewed.
        embedded: The server ends when no client is left, so nobody holds what was held through it then.
    """

    length_ms: int
    embedded: bool = False

    @property
    def beat_seconds(self) -> float:
        """How often a server looks after the leases: at a twelfth of their length."""
        return max(self.length_ms / 12_000, 0.02)

    @property
    def outage_ms(self) -> int:
        """A silence of all servers that is longer than this does not count; clients renew at a third of the length."""
        return self.length_ms // 4


def hold_lease(tx: Transaction, run: RunInfo, terms: LeaseTerms) -> bool:
    """Take or renew the lease of a run that goes on; tells whether it does."""
    if run.status is not RunStatus.RUNNING or not run.is_active:
        return False
    tx.run_leases.hold(run.number, terms.length_ms, embedded=terms.embedded)
    if run.lost:
        run_changed(tx, run, EventType.RETURNED)
    return True


def renew_leases(tx: Transaction, run_ids: Sequence[str], terms: LeaseTerms) -> list[str]:
    """Take or renew leases; returns the ids of those runs that go on, the others are passed over.

    So are those that the caller may not write: a client that renews the leases of many runs keeps those of the others.

    Raises:
        InvalidArgument: LIMIT_EXCEEDED, or an id is none.
    """
    check_count(len(run_ids), MAX_RENEWED, what="runs", field="run_ids")
    runs = [tx.runs.get(check_run_id(run_id, field="run_ids")) for run_id in dict.fromkeys(run_ids)]
    held = [run.id for run in runs if run is not None and _may_write(tx, run) and hold_lease(tx, run, terms)]
    caller = current_caller()
    if held and caller.worker is not None:
        tx.access.renew_worker(caller.token_id)
    return held


def _may_write(tx: Transaction, run: RunInfo) -> bool:
    worker = current_caller().worker
    if worker is not None and worker.run_id != run.id:
        return False
    return may(tx, Role.WRITE, ResourceKind.EXPERIMENT, run.experiment_id)


def give_back_outage(tx: Transaction, terms: LeaseTerms) -> None:
    """Give a sign of life of the servers, and let the time not count in which there was none.

    The sign is one for all servers on the database, so an outage of one of several is none.
    """
    last = tx.run_leases.last_beat()
    if tx.now_ms - last > terms.outage_ms:
        tx.run_leases.prolong(last)
        tx.access.prolong_workers(last)
    tx.run_leases.beat()


def mark_lost(tx: Transaction) -> int:
    """Mark some of the runs as lost whose leases ran out; returns how many."""
    expired = tx.run_leases.list_expired(STEP)
    for run_id in expired:
        run = tx.runs.get(run_id)
        assert run is not None
        tx.run_leases.set_lost(run.number)
        run_changed(tx, run, EventType.LOST)
    return len(expired)


class LeaseKeeper:
    """Looks after the leases while a server runs; without leases it writes nothing."""

    def __init__(self, database: Database, terms: LeaseTerms) -> None:
        self._database, self._terms = database, terms
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, before the server answers: what nobody could renew must not be found expired."""
        await self._look()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def end_embedded(self) -> None:
        """Mark runs as lost whose clients held them through an embedded server, as none of these is left."""

        def job(tx: Transaction) -> int:
            give_back_outage(tx, self._terms)
            tx.run_leases.expire_embedded()
            return mark_lost(tx)

        try:
            while await self._database.write(job) == STEP:
                pass
        except DomainError as error:
            logger.warning("runs without a client could not be marked as lost: %s", error.message)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._terms.beat_seconds)
            await self._look()

    async def _look(self) -> None:
        def job(tx: Transaction) -> int:
            give_back_outage(tx, self._terms)
            return mark_lost(tx)

        try:
            if not await self._database.read(lambda tx: tx.run_leases.can_expire()):
                return
            while await self._database.write(job) == STEP:
                pass
        except DomainError as error:
            logger.warning("runs could not be looked after right now: %s", error.message)
        except Exception:
            logger.exception("looking after runs failed; it is tried again soon")
