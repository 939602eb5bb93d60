"""The lease under which one process at a time changes what others may be using."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from holdfast_server.errors import Conflict, Unavailable
from holdfast_server.services.ports.database import Database, Transaction

T = TypeVar("T")
logger = logging.getLogger(__name__)

LEASE = "upkeep"
LEASE_MS = 30_000
RENEW_SECONDS = 5.0


class UpkeepLease:
    """A lease that is held. Its writes are refused once somebody else took it, in the same transaction."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database, self._holder = database, holder

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` on a snapshot."""
        return await self._database.read(job)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` in a transaction, if the lease is still held.

        Raises:
            Conflict: It is not.
        """

        def fenced(tx: Transaction) -> T:
            tx.upkeep.leases.renew(LEASE, self._holder, LEASE_MS)
            return job(tx)

        return await self._database.write(fenced)


@contextlib.asynccontextmanager
async def upkeep_lease(database: Database, holder: str, description: str) -> AsyncIterator[UpkeepLease]:
    """Hold the lease; it is renewed until the end, and given back even when the caller is cancelled.

    Args:
        database: Where the lease is.
        holder: An id that nobody else has.
        description: Who that is and what it does, for those who come second.

    Raises:
        FailedPrecondition: UPKEEP_RUNNING, somebody else holds it.
    """
    renewer: asyncio.Task[None] | None = None
    try:
        await database.write(lambda tx: tx.upkeep.leases.take(LEASE, holder, description, LEASE_MS))
        renewer = asyncio.create_task(_renew(database, holder))
        yield UpkeepLease(database, holder)
    finally:  # also after a cancellation while it was being taken, which goes on
        if renewer is not None:
            renewer.cancel()
        with contextlib.suppress(Unavailable):  # then it expires by itself
            await database.write(lambda tx: tx.upkeep.leases.release(LEASE, holder))


async def _renew(database: Database, holder: str) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await database.write(lambda tx: tx.upkeep.leases.renew(LEASE, holder, LEASE_MS))
        except Unavailable as error:
            logger.warning("the upkeep lease was not renewed: %s", error.message)
        except Conflict:
            return  # the next write of the holder says so
