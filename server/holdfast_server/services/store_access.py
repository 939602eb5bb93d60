"""What upkeep needs to reach a store: its blocks, its objects, its rows, and threads to work in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from holdfast_server.errors import Unavailable
from holdfast_server.services.ports.artifacts import BlockStore, ObjectStore, StoredObject
from holdfast_server.services.ports.database import Database, Ids

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Objects of a listing that are looked at together.
LISTED = 500
# Objects that one thread removes before it lets others work.
REMOVED = 64
# How often something is read that the store gives an error for.
ATTEMPTS = 2


class Unreadable(Exception):  # noqa: N818 - not an error of the store as a whole, which goes on to answer
    """The store gives an error for an object again and again."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """A store and its database. Blocking work goes to ``executor``, which bounds how much of it there is.

    Attributes:
        database: Its rows.
        blocks: Its blocks, verified.
        objects: Its objects.
        executor: Threads.
        ids: Make names for those who hold the lease.
        host: Who this process is, for people.
        check_identity: Raises ``FailedPrecondition`` when the store is not that of the database; blocks.
    """

    database: Database
    blocks: BlockStore
    objects: ObjectStore
    executor: Executor
    ids: Ids
    host: str
    check_identity: Callable[[], None]

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work; it goes on when the caller is cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self.executor, work))

    async def confirm_identity(self) -> None:
        """Make sure that the store is that of the database: in another one everything would be missing or orphaned."""
        await self.in_thread(self.check_identity)

    async def read(self, work: Callable[[], T]) -> T:
        """Read from the store in a thread, and again while there are errors and the store itself answers.

        Raises:
            Unreadable: One object is broken, or this user may not read it.
            Unavailable: The store does not answer at all.
            FailedPrecondition: STORE_MISMATCH, it is not that of the database any more.
        """
        message = ""
        for _ in range(ATTEMPTS):
            try:
                return await self.in_thread(work)
            except Unavailable as error:
                message = error.message
            await self.confirm_identity()
        raise Unreadable(message)

    def new_holder(self) -> str:
        """A name for one who takes a lease."""
        return self.ids.new_id()

    def describe(self, work: str) -> str:
        """Who does some work, for people."""
        return f"{self.host} ({work})"

    async def remove(self, keys: Sequence[str]) -> set[str]:
        """Remove objects; returns the keys of those that could not be, for now."""

        def remove(part: Sequence[str]) -> list[str]:
            failed = []
            for key in part:
                try:
                    self.objects.delete(key)
                except (OSError, Unavailable):
                    logger.warning("object %s was not removed", key, exc_info=True)
                    failed.append(key)
            return failed

        parts = [keys[start : start + REMOVED] for start in range(0, len(keys), REMOVED)]
        results = await asyncio.gather(*(self.in_thread(lambda part=part: remove(part)) for part in parts))  # type: ignore[misc]
        return {key for failed in results for key in failed}


async def listed(access: StoreAccess, prefix: str) -> AsyncIterator[list[StoredObject]]:
    """A listing in batches, read in a thread."""
    found: Iterator[StoredObject] = access.objects.list_objects(prefix)
    while batch := await access.in_thread(lambda: list(islice(found, LISTED))):
        yield batch
