"""Seals the audit log: what came since the last seal becomes a segment that follows from the one before by its hash."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from holdfast.format.audit import NO_HASH, SegmentHash
from holdfast_server.domain.audit import AuditSegment
from holdfast_server.errors import DomainError
from holdfast_server.services.ports.database import Database, Transaction

logger = logging.getLogger(__name__)

# Records of a segment at most. The write lock is held while they are hashed.
SEALED_TOGETHER = 2_000
# How often at least it is looked whether a seal is due.
LOOK_SECONDS = 10.0


class AuditSealer:
    """Seals what has waited for ``interval`` seconds, or what has become many.

    Every process on a data directory has one. Each seals within one transaction, in which it looks for what there is
    to seal, so that those who come second find nothing, and of one that dies nothing remains.
    """

    def __init__(self, database: Database, interval: float) -> None:
        self._database, self._interval = database, interval
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Look no more; a seal that was begun is finished by the database."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def seal_due(self) -> None:
        """Seal as much as is due."""
        age_ms = round(self._interval * 1000)
        while await self._database.read(lambda tx: _is_due(tx, age_ms)):
            segment = await self._database.write(lambda tx: seal_some(tx) if _is_due(tx, age_ms) else None)
            if segment is not None:
                # In the log too: whoever keeps that elsewhere can tell later whether the chain is still the same.
                logger.info("the audit log is sealed up to record %d: head %s", segment.last_number, head_of(segment))

    async def _look(self) -> None:
        while True:
            try:
                await self.seal_due()
            except DomainError as error:
                logger.warning("the audit log was not sealed and will be later: %s", error.message)
            except Exception:
                logger.exception("the audit log could not be sealed; it is tried again")
            await asyncio.sleep(min(self._interval, LOOK_SECONDS))


def head_of(segment: AuditSegment) -> str:
    """A segment and its hash as people keep them: ``12:9f86d0…``."""
    return f"{segment.number}:{segment.hash.hex()}"


def seal_some(tx: Transaction, limit: int = SEALED_TOGETHER) -> AuditSegment | None:
    """Seal the records that wait, at most ``limit`` of them; None when there are none."""
    records = tx.audit.list_waiting(limit)
    if not records:
        return None
    before = tx.audit.newest_segment()
    number = before.number + 1 if before is not None else 1
    previous_hash = before.hash if before is not None else NO_HASH
    first, last = records[0].number, records[-1].number
    hashed = SegmentHash(previous_hash, segment=number, first_number=first, last_number=last, seal_time=tx.now_ms)
    for record in records:
        hashed.add(record)
    segment = AuditSegment(
        number=number,
        first_number=first,
        last_number=last,
        seal_time=tx.now_ms,
        previous_hash=previous_hash,
        hash=hashed.digest(),
    )
    tx.audit.seal(segment)
    return segment


def _is_due(tx: Transaction, age_ms: int) -> bool:
    count, oldest = tx.audit.waiting()
    return count >= SEALED_TOGETHER or (count > 0 and oldest <= tx.now_ms - age_ms)
