"""Checks a store against its rows: what is missing, damaged or unused, and what of it can be repaired.

It holds the lease of upkeep, so that nothing is collected under it. Uploads go on: whatever looks wrong is looked at
again, at the place where it is by then, before it is reported.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from holdfast_server.domain.audit import STORE
from holdfast_server.domain.upkeep import DEFAULT_GRACE_MS, ORPHAN_AGE_MS, Checked, Finding, FindingKind, Place
from holdfast_server.errors import DataLoss, Unavailable
from holdfast_server.services.auditing import audited_method, note_change
from holdfast_server.services.garbage import PREFIXES
from holdfast_server.services.ports.artifacts import StoredObject
from holdfast_server.services.ports.upkeep import BlockRow
from holdfast_server.services.store_access import StoreAccess, Unreadable, listed
from holdfast_server.services.upkeep_lease import UpkeepLease, upkeep_lease

Report = Callable[[Finding], Awaitable[None]]

PAGE = 1_000
# Bytes of blocks that are read together, and how many such reads there are at once.
READ_BYTES = 8 << 20
READS = 2
MAX_AFFECTED = 10
MAX_INCONSISTENCIES = 1_000

_TEXTS = {
    FindingKind.MISSING: "Block {digest} is lost: object {key} is not in the store.",
    FindingKind.TRUNCATED: "Block {digest} is damaged: object {key} is too short.",
    FindingKind.CORRUPT: "Block {digest} is damaged: its bytes in object {key} do not have this digest.",
    FindingKind.UNREADABLE: "Block {digest} cannot be read from object {key}. {cause}",
}
# The ways out, before and after a repair.
_DAMAGED = (
    "Log the same content again after `holdfast fsck --repair`, or restore the store from a backup.",
    "Log the same content again, or restore the store from a backup.",
)
_UNREADABLE = (
    "Mend the store, or log the same content again after `holdfast fsck --repair`.",
    "Log the same content again; or mend the store, and have `holdfast fsck --repair` count it as present again.",
)
_STILL_LOST = "Block {digest} was lost and still is. Log the same content again."
_FOUND_AGAIN = "Block {digest} was counted as missing, and can be read again. `holdfast fsck --repair` takes that back."
_TAKEN_BACK = "Block {digest} was counted as missing, and can be read again. It counts as present from now on."


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What a caller asks for.

    Attributes:
        deep: Read and verify every block.
        repair: Remove orphans, and count lost, damaged and unreadable blocks as missing, so that the next upload stores
            them anew. Nothing else happens to them, and one that can be read again later counts as present again.
        grace_ms: Objects without a row are only looked at when they are older.
    """

    deep: bool = False
    repair: bool = False
    grace_ms: int = DEFAULT_GRACE_MS


class StorageChecker:
    """Checks one database and its store."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    async def check(self, settings: CheckSettings, checked: Checked, report: Report) -> None:
        """Look at everything once; ``report`` gets each finding, and ``checked`` the sums.

        Raises:
            FailedPrecondition: UPKEEP_RUNNING, another process works on this store.
            FailedPrecondition: STORE_MISMATCH, the store is not the one of this database; nothing was judged.
            Unavailable: The store cannot be reached; nothing more was judged.
        """
        await self._access.confirm_identity()
        async with upkeep_lease(
            self._access.database, self._access.new_holder(), self._access.describe("checking the store")
        ) as lease:
            if settings.repair and audited_method():
                await lease.write(lambda tx: note_change(tx, [STORE], {"repair": True, "deep": settings.deep}))
            await _Check(self._access, lease, settings, checked, report).run()


class _Bits:
    """A set of row ids in an eighth of a byte each."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, number: int) -> None:
        if number >> 3 >= len(self._bytes):
            self._bytes.extend(bytes((number >> 3) + 4096 - len(self._bytes)))
        self._bytes[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        return number >> 3 < len(self._bytes) and bool(self._bytes[number >> 3] & 1 << (number & 7))


class _Check:
    """One run."""

    def __init__(
        self, access: StoreAccess, lease: UpkeepLease, settings: CheckSettings, checked: Checked, report: Report
    ) -> None:
        self._access, self._lease, self._settings = access, lease, settings
        self._checked, self._report = checked, report
        self._listed, self._reported = _Bits(), _Bits()
        # Objects of which the block before could not be read. The next may be whole, and is asked for without patience.
        self._unreadable: set[str] = set()

    async def run(self) -> None:
        """All steps."""
        self._checked.blocks, self._checked.block_bytes = await self._lease.read(lambda tx: tx.upkeep.checks.totals())
        for finding in await self._lease.read(lambda tx: tx.upkeep.checks.find_inconsistencies(MAX_INCONSISTENCIES)):
            await self._add(finding)
        await self._compare_listing()
        await self._find_missing_objects()
        if self._settings.deep:
            await self._read_all()
        await self._list_lost()
        count, size = await self._lease.read(lambda tx: tx.upkeep.checks.count_unreferenced())
        if count:
            message = f"Nothing refers to {count} blocks of {size} bytes; `holdfast gc` removes them after their grace."
            await self._add(Finding(kind=FindingKind.UNREFERENCED, message=message, size=size))

    async def _compare_listing(self) -> None:
        """Objects without a row are orphans; those shorter than their rows say are truncated."""
        age = max(self._settings.grace_ms, ORPHAN_AGE_MS)
        before = await self._lease.read(lambda tx: tx.now_ms - age)
        for prefix in PREFIXES:
            async for batch in listed(self._access, prefix):
                rows = await self._lease.read(
                    lambda tx, keys=[item.key for item in batch]: tx.upkeep.checks.find_objects(keys)  # type: ignore[misc]
                )
                self._checked.objects += len(batch)
                await self._add_orphans([i for i in batch if i.key not in rows and i.modified_ms < before])
                for item in batch:
                    row, in_use = rows.get(item.key, (None, False))
                    if row is not None and in_use:
                        self._listed.add(row.object_id)
                        if item.size < row.size:
                            await self._judge_object(row.object_id)

    async def _add_orphans(self, orphans: Sequence[StoredObject]) -> None:
        if not orphans:
            return
        keys = [item.key for item in orphans]
        if self._settings.repair:
            # Asked under the lease: what has no row now, and is this old, gets none any more.
            keys = await self._lease.write(lambda tx: tx.upkeep.garbage.find_unknown(keys))
        failed = await self._access.remove(keys) if self._settings.repair else set(keys)
        for item in orphans:
            await self._add(
                Finding(
                    kind=FindingKind.ORPHANED,
                    message=f"No block is in object {item.key}; a server died when it had stored it.",
                    object_key=item.key,
                    size=item.size,
                    repaired=item.key in keys and item.key not in failed,
                )
            )

    async def _find_missing_objects(self) -> None:
        after = 0
        while True:
            objects = await self._lease.read(lambda tx, after=after: tx.upkeep.checks.list_objects(after, PAGE))  # type: ignore[misc]
            if not objects:
                return
            after = objects[-1].object_id
            for item in objects:
                if item.object_id not in self._listed:
                    await self._judge_object(item.object_id)

    async def _judge_object(self, object_id: int) -> None:
        blocks = await self._lease.read(lambda tx: tx.upkeep.garbage.list_blocks_in(object_id))
        for block in blocks:
            await self._judge(block)

    async def _read_all(self) -> None:
        """Read every block, some reads at once, each of a bounded size."""
        running: set[asyncio.Task[None]] = set()
        try:
            async for batch in self._batches():
                if len(running) == READS:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                running.add(asyncio.create_task(self._read(batch)))
            while running:
                done, running = await asyncio.wait(running)
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()

    async def _batches(self) -> AsyncIterator[list[BlockRow]]:
        """All blocks in the order of their objects, so many at a time as are read together."""
        place = (0, 0)
        batch: list[BlockRow] = []
        size = 0
        while page := await self._lease.read(
            lambda tx, place=place: tx.upkeep.checks.list_blocks(place, PAGE)  # type: ignore[misc]
        ):
            place = (page[-1].object_id, page[-1].block_id)
            for block in page:
                if block.block_id in self._reported:
                    continue
                if batch and size + block.extent.length > READ_BYTES:
                    yield batch
                    batch, size = [], 0
                batch.append(block)
                size += block.extent.length
        if batch:
            yield batch

    async def _read(self, batch: Sequence[BlockRow]) -> None:
        try:
            await self._access.in_thread(
                lambda: len(self._access.blocks.read([(b.digest, b.extent) for b in batch]))  # nothing is kept of it
            )
        except (DataLoss, Unavailable):
            for block in batch:
                await self._judge(block)
        self._checked.read_bytes += sum(block.extent.length for block in batch)

    async def _judge(self, block: BlockRow) -> None:
        """Report a block that cannot be read where it is now."""
        if block.block_id in self._reported:
            return
        now = await self._lease.read(lambda tx: tx.upkeep.checks.locate(block.block_id))
        if now is None:
            return
        kind, cause = await self._diagnose(now)
        if kind is None:
            return
        self._reported.add(now.block_id)
        affected = await self._lease.read(lambda tx: tx.upkeep.checks.affected(now.block_id, MAX_AFFECTED))
        repaired = self._settings.repair and await self._lease.write(lambda tx: tx.upkeep.checks.mark_lost(now))
        text = _TEXTS[kind].format(digest=now.digest.hex(), key=now.extent.object_key, cause=cause)
        way_out = (_UNREADABLE if kind is FindingKind.UNREADABLE else _DAMAGED)[repaired]
        await self._add(
            Finding(
                kind=kind,
                message=f"{text} {way_out}",
                digest=now.digest,
                object_key=now.extent.object_key,
                size=now.extent.length,
                affected=tuple(affected),
                repaired=repaired,
            )
        )

    async def _diagnose(self, block: BlockRow) -> tuple[FindingKind | None, str]:
        """What is wrong with a block, if anything is, and what the store says about it."""
        key = block.extent.object_key
        try:
            kind = await self._access.read(lambda: self._judge_bytes(block))
        except Unreadable as error:
            self._unreadable.add(key)
            return FindingKind.UNREADABLE, error.message
        self._unreadable.discard(key)
        return kind, ""

    def _judge_bytes(self, block: BlockRow) -> FindingKind | None:
        extent = block.extent
        try:
            data = self._access.objects.get(
                extent.object_key,
                extent.offset,
                extent.length,
                patient=extent.object_key not in self._unreadable,
            )
        except KeyError:
            return FindingKind.MISSING
        if len(data) < extent.length:
            return FindingKind.TRUNCATED
        return None if hashlib.sha256(data).digest() == block.digest else FindingKind.CORRUPT

    async def _list_lost(self) -> None:
        """Blocks that an earlier repair counted as missing, until somebody logs their content again."""
        after = 0
        while True:
            blocks = await self._lease.read(lambda tx, after=after: tx.upkeep.checks.list_lost(after, PAGE))  # type: ignore[misc]
            if not blocks:
                return
            after = blocks[-1].block_id
            for block in blocks:
                if block.block_id not in self._reported:
                    await self._judge_lost(block)

    async def _judge_lost(self, block: BlockRow) -> None:
        """Report a block that counts as missing; one whose bytes are back after all is counted as present again."""
        kind, _ = await self._diagnose(block)
        if await self._lease.read(lambda tx: tx.upkeep.checks.locate(block.block_id)) is not None:
            return  # somebody logged its content meanwhile
        text, repaired, affected = _STILL_LOST, False, list[Place]()
        if kind is not None:
            affected = await self._lease.read(lambda tx: tx.upkeep.checks.affected(block.block_id, MAX_AFFECTED))
        else:
            repaired = self._settings.repair and await self._lease.write(lambda tx: tx.upkeep.checks.mark_found(block))
            text = _TAKEN_BACK if repaired else _FOUND_AGAIN
        await self._add(
            Finding(
                kind=FindingKind.LOST,
                message=text.format(digest=block.digest.hex()),
                digest=block.digest,
                size=block.extent.length,
                affected=tuple(affected),
                repaired=repaired,
            )
        )

    async def _add(self, finding: Finding) -> None:
        self._checked.counts[finding.kind] = self._checked.counts.get(finding.kind, 0) + 1
        self._checked.problems += finding.kind.is_problem
        self._checked.repaired += finding.repaired
        await self._report(finding)
