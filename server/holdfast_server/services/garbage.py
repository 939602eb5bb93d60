"""Collects garbage: what no snapshot that is to be kept shows, and nobody needed for the time of grace.

Each step finds candidates on a reader and deletes them in small transactions that look again, so uploads go on beside
it, in this and in other processes. Whenever it dies, nothing refers to what is gone, and the next run goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from holdfast_server.domain.artifacts import NewBlock
from holdfast_server.domain.audit import STORE
from holdfast_server.domain.upkeep import DEFAULT_GRACE_MS, ORPHAN_AGE_MS, REPLACED_KEPT_MS, Collected, Phase
from holdfast_server.errors import DataLoss
from holdfast_server.services.auditing import audited_method, note_change
from holdfast_server.services.changes import note_purged
from holdfast_server.services.ports.artifacts import StoredObject
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.ports.upkeep import BlockRow, IdPage, ObsoleteEntry, Purged, UnprunedTree
from holdfast_server.services.store_access import StoreAccess, Unreadable, listed
from holdfast_server.services.upkeep_lease import UpkeepLease, upkeep_lease

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Rows that one transaction deletes; keeps the write lock's time to some milliseconds.
STEP = 250
SWEEP_STEP = 1_000
PURGED_TOGETHER = 20
# Rows that one read looks at.
PAGE = 20_000
PACK_PAGE = 500
# Small blocks that are rewritten together: their bytes, which are in memory meanwhile, and their rows.
MOVED_BYTES = 8 << 20
MOVED_BLOCKS = 500
# Where objects are that this server writes; others in the same store are none of its business.
PREFIXES = ("blocks/", "packs/", "check/")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """What a caller asks for.

    Attributes:
        grace_ms: What somebody needed in this time is kept.
        purge_ms: Runs and models deleted longer ago go for good; None: all of them stay restorable.
    """

    grace_ms: int = DEFAULT_GRACE_MS
    purge_ms: int | None = None


class GarbageCollector:
    """Collects the garbage of one database and its store."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    async def forecast(self, settings: CollectionSettings, collected: Collected) -> None:
        """Count what ``collect`` would delete now, and delete nothing. Other processes may do so meanwhile."""

        def read(tx: Transaction) -> None:
            purge_before = None if settings.purge_ms is None else tx.now_ms - settings.purge_ms
            if purge_before is not None:
                collected.purged_runs, collected.purged_models = tx.upkeep.purge.count_purgeable(purge_before)
            found = tx.upkeep.forecast(before_ms=tx.now_ms - settings.grace_ms, purge_before_ms=purge_before)
            collected.pruned_entries, collected.files, collected.blocks, collected.block_bytes = found

        await self._access.database.read(read)
        collected.phase = Phase.DONE

    async def collect(self, settings: CollectionSettings, collected: Collected) -> None:
        """Delete what is unused; ``collected`` tells how far it is.

        Raises:
            FailedPrecondition: UPKEEP_RUNNING, another process works on this store.
            FailedPrecondition: STORE_MISMATCH, the store is not the one of this database.
            Unavailable: The store cannot be reached.
        """
        await self._access.confirm_identity()
        async with upkeep_lease(
            self._access.database, self._access.new_holder(), self._access.describe("collecting garbage")
        ) as lease:
            run = _Collection(self._access, lease, settings, collected)
            steps: Sequence[tuple[Phase, Callable[[], Awaitable[None]]]] = (
                (Phase.PURGING, run.purge),
                (Phase.PRUNING, run.prune),
                (Phase.FILES, run.delete_files),
                (Phase.BLOCKS, run.delete_blocks),
                (Phase.COMPACTING, run.compact),
                (Phase.OBJECTS, run.delete_objects),
                (Phase.ORPHANS, run.delete_orphans),
            )
            if audited_method():
                details = {"grace_ms": settings.grace_ms, "purge_ms": settings.purge_ms}
                await lease.write(lambda tx: note_change(tx, [STORE], details))
            for phase, step in steps:
                collected.phase = phase
                await step()
        collected.phase = Phase.DONE


class _Collection:
    """One run: its steps in order."""

    def __init__(
        self, access: StoreAccess, lease: UpkeepLease, settings: CollectionSettings, collected: Collected
    ) -> None:
        self._access, self._lease, self._settings, self._collected = access, lease, settings, collected
        self._passed_over: set[int] = set()

    async def purge(self) -> None:
        """Take runs and models deleted long ago out of reach, and delete what hangs on those that were."""
        purge_ms = self._settings.purge_ms
        while purge_ms is not None:
            taken = await self._lease.write(lambda tx, age=purge_ms: _purge_some(tx, tx.now_ms - age))  # type: ignore[misc]
            runs = sum(purged.is_run for purged in taken)
            self._collected.purged_runs += runs
            self._collected.purged_models += len(taken) - runs
            if len(taken) < PURGED_TOGETHER:
                break
        while await self._lease.write(lambda tx: tx.upkeep.purge.sweep(SWEEP_STEP)):
            pass

    async def prune(self) -> None:
        """Delete versions of paths that no snapshot to be kept shows."""
        last: int | None = 0
        while last is not None:
            trees, last = await self._lease.read(
                lambda tx, after=last: tx.upkeep.history.list_unpruned(  # type: ignore[misc]
                    after, STEP, before_ms=tx.now_ms - self._settings.grace_ms
                )
            )
            if not trees:
                continue
            await self._each(trees, lambda tx, tree: tx.upkeep.history.close_before(tree))
            obsolete: list[tuple[UnprunedTree, list[ObsoleteEntry]]] = []
            for tree in trees:
                path: str | None = ""
                while path is not None:
                    found, path = await self._lease.read(
                        lambda tx, tree=tree, after=path: tx.upkeep.history.find_obsolete(tree, after, STEP)  # type: ignore[misc]
                    )
                    for start in range(0, len(found), STEP):
                        obsolete.append((tree, found[start : start + STEP]))
                        if sum(len(part) for _, part in obsolete) >= STEP:
                            await self._delete_entries(obsolete)
                            obsolete = []
            await self._delete_entries(obsolete)
            await self._each(trees, lambda tx, tree: tx.upkeep.history.finish(tree))

    async def _each(self, trees: Sequence[UnprunedTree], change: Callable[[Transaction, UnprunedTree], None]) -> None:
        def change_all(tx: Transaction) -> None:
            for tree in trees:
                change(tx, tree)

        await self._lease.write(change_all)

    async def _delete_entries(self, obsolete: Sequence[tuple[UnprunedTree, Sequence[ObsoleteEntry]]]) -> None:
        """Delete what was found in some trees, in one transaction."""
        if obsolete:
            self._collected.pruned_entries += await self._lease.write(
                lambda tx: sum(tx.upkeep.history.delete_entries(tree, part) for tree, part in obsolete)
            )

    async def delete_files(self) -> None:
        """Delete contents that no entry has."""

        async def delete(ids: list[int]) -> None:
            while ids:
                deleted, ids = await self._lease.write(
                    lambda tx, ids=ids: tx.upkeep.garbage.delete_files(ids, SWEEP_STEP)  # type: ignore[misc]
                )
                self._collected.files += deleted

        await self._each_page(lambda tx, after: tx.upkeep.garbage.find_loose_files(after, PAGE), delete)

    async def delete_blocks(self) -> None:
        """Delete blocks that nothing refers to and nobody touched in the time of grace, and forget who sent others."""
        grace = self._settings.grace_ms

        async def delete(ids: list[int]) -> None:
            count, size = await self._lease.write(
                lambda tx: tx.upkeep.garbage.delete_blocks(ids, before_ms=tx.now_ms - grace)
            )
            self._collected.blocks += count
            self._collected.block_bytes += size

        last: int | None = 0
        while last is not None:
            last = await self._lease.write(
                lambda tx, after=last: tx.upkeep.garbage.forget_uploads(  # type: ignore[misc]
                    after, STEP, before_ms=tx.now_ms - grace
                )
            )
        await self._each_page(
            lambda tx, after: tx.upkeep.garbage.find_loose_blocks(after, PAGE, before_ms=tx.now_ms - grace), delete
        )
        await self._each_page(
            lambda tx, after: tx.upkeep.garbage.find_empty_objects(after, PAGE),
            lambda ids: self._lease.write(lambda tx: tx.upkeep.garbage.condemn_empty(ids, from_ms=tx.now_ms)),
        )

    async def compact(self) -> None:
        """Rewrite packs of which less than half is in use, some together."""
        last: int | None = 0
        gathered: list[BlockRow] = []
        size = 0
        while last is not None:
            sparse, last = await self._lease.read(
                lambda tx, after=last: tx.upkeep.garbage.find_sparse_packs(after, PACK_PAGE)  # type: ignore[misc]
            )
            for pack in sparse:
                blocks = await self._lease.read(
                    lambda tx, number=pack.object_id: tx.upkeep.garbage.list_blocks_in(number)  # type: ignore[misc]
                )
                self._collected.compacted_packs += 1
                for block in blocks:
                    gathered.append(block)
                    size += block.extent.length
                    if size >= MOVED_BYTES or len(gathered) == MOVED_BLOCKS:
                        await self._move(gathered)
                        gathered, size = [], 0
        if gathered:
            await self._move(gathered)

    async def _move(self, blocks: Sequence[BlockRow]) -> None:
        """Write blocks to new packs, point their rows there, and have packs that are empty then deleted later."""
        store = self._access.blocks
        kept_ms = min(REPLACED_KEPT_MS, self._settings.grace_ms)
        try:
            data = await self._access.read(lambda: store.read([(b.digest, b.extent) for b in blocks]))
        except (DataLoss, Unreadable) as error:
            await self._move_apart(blocks, error.message)
            return
        new = [NewBlock(block.digest, (piece,), len(piece)) for block, piece in zip(blocks, data, strict=True)]
        extents = await self._access.in_thread(lambda: store.write(new))
        moves = list(zip(blocks, extents, strict=True))
        unneeded = await self._lease.write(
            lambda tx: tx.upkeep.garbage.move_blocks(moves, kept_until_ms=tx.now_ms + kept_ms)
        )
        if unneeded:
            await self._access.in_thread(lambda: store.discard(unneeded))
        self._collected.moved_bytes += sum(block.extent.length for block in blocks)

    async def _move_apart(self, blocks: Sequence[BlockRow], error: str) -> None:
        """Move the blocks of each pack by themselves after some could not be read; a pack with such is passed over."""
        packs = {block.object_id: block.extent.object_key for block in blocks}
        if len(packs) > 1:
            for number in packs:
                await self._move([block for block in blocks if block.object_id == number])
            return
        # What is damaged stays where it is, for the check of the store to report.
        ((number, key),) = packs.items()
        logger.warning("pack %s was not rewritten: %s", key, error)
        if number not in self._passed_over:
            self._passed_over.add(number)
            self._collected.failures += 1
            self._collected.compacted_packs -= 1

    async def delete_objects(self) -> None:
        """Remove objects that hold no block any more from the store, then their rows."""
        after = 0
        while True:
            objects = await self._lease.read(
                lambda tx, after=after: tx.upkeep.garbage.list_condemned(after, STEP)  # type: ignore[misc]
            )
            if not objects:
                return
            after = objects[-1].object_id
            failed = await self._remove([item.key for item in objects])
            removed = [item for item in objects if item.key not in failed]
            await self._lease.write(
                lambda tx, rows=removed: tx.upkeep.garbage.forget_objects([r.object_id for r in rows])  # type: ignore[misc]
            )
            self._collected.objects += len(removed)
            self._collected.object_bytes += sum(item.size for item in removed)

    async def delete_orphans(self) -> None:
        """Remove objects without a row, and half-written ones, that no upload in progress can own."""
        age = max(self._settings.grace_ms, ORPHAN_AGE_MS)
        before = await self._lease.read(lambda tx: tx.now_ms - age)
        for prefix in PREFIXES:
            async for batch in listed(self._access, prefix):
                old = {item.key: item for item in batch if item.modified_ms < before}
                unknown = await self._lease.write(lambda tx, keys=list(old): tx.upkeep.garbage.find_unknown(keys))  # type: ignore[misc]
                failed = await self._remove(unknown)
                removed: list[StoredObject] = [old[key] for key in unknown if key not in failed]
                self._collected.orphans += len(removed)
                self._collected.objects += len(removed)
                self._collected.object_bytes += sum(item.size for item in removed)
        self._collected.orphans += await self._access.in_thread(lambda: self._access.objects.remove_unfinished(before))

    async def _remove(self, keys: Sequence[str]) -> set[str]:
        """Remove objects, several at once; returns the keys of those that could not be."""
        failed = await self._access.remove(keys)
        self._collected.failures += len(failed)
        return failed

    async def _each_page(
        self, find: Callable[[Transaction, int], IdPage], delete: Callable[[list[int]], Awaitable[None]]
    ) -> None:
        """Delete what pages of ids name, a step at a time."""
        last: int | None = 0
        while last is not None:
            page = await self._lease.read(lambda tx, after=last: find(tx, after))  # type: ignore[misc]
            last = page.last
            for start in range(0, len(page.ids), STEP):
                await delete(page.ids[start : start + STEP])


def _purge_some(tx: Transaction, before_ms: int) -> list[Purged]:
    """Take a few runs and models out of reach, and tell those who watch; fewer than ``PURGED_TOGETHER`` at the end."""
    taken: list[Purged] = []
    while len(taken) < PURGED_TOGETHER:
        purged = tx.upkeep.purge.purge_next(before_ms)
        if purged is None:
            break
        note_purged(tx, purged)
        taken.append(purged)
    if taken:
        named = [f"{'run' if one.is_run else 'model'}/{one.id}" for one in taken]
        experiments = [f"experiment/{one.experiment_id}" for one in taken]
        note_change(tx, [*named, *experiments], {"purged": len(taken)})
    return taken
