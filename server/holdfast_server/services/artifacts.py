"""Use cases of artifacts: storing blocks, committing entries, reading snapshots."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TypeVar

from holdfast_server.domain.artifacts import MAX_INLINE, Entry, Extent, FileBlock, NewBlock, NewEntry, Owner, Tree
from holdfast_server.domain.names import shown
from holdfast_server.errors import (
    Conflict,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Reason,
    Unavailable,
)
from holdfast_server.services.ports.artifacts import BlockStore
from holdfast_server.services.ports.database import Database, RequestKey, Transaction

T = TypeVar("T")

# Entries in one transaction; keeps the write lock's time to some milliseconds.
STAGE_SIZE = 2_000
# Inline data of one transaction.
STAGE_BYTES = 4 << 20
MAX_EXPECTATIONS = 10_000


class BlocksMissing(Exception):  # noqa: N818 - not an error: the caller writes them and commits again
    """A commit names blocks that are not there."""

    def __init__(self, digests: list[bytes]) -> None:
        super().__init__(f"{len(digests)} blocks are missing")
        self.digests = digests


@dataclass(frozen=True, slots=True)
class InlineEntry:
    """An entry that brings its content with it."""

    entry: NewEntry
    data: bytes

    @classmethod
    def create(cls, data: bytes, make: Callable[[tuple[bytes, ...]], NewEntry]) -> InlineEntry:
        """Build an entry from its content; ``make`` gets the digests of its blocks."""
        if len(data) > MAX_INLINE:
            raise InvalidArgument(
                f"Inline data is at most {MAX_INLINE} bytes, not {len(data)}; write larger content as blocks.",
                reason=Reason.LIMIT_EXCEEDED,
            )
        return cls(make((hashlib.sha256(data).digest(),) if data else ()), data)


class ArtifactService:
    """What can be done with artifacts. Blocking work goes to ``executor``, never on the event loop."""

    def __init__(self, database: Database, store: BlockStore, executor: Executor) -> None:
        self._database, self._store, self._executor = database, store, executor

    async def find_missing_blocks(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those that must be written; the others live on for another day."""
        missing = await self._database.read(lambda tx: tx.blocks.find_missing(digests))
        if len(missing) < len(digests):
            await self._database.write(lambda tx: tx.blocks.touch(digests))
        return missing

    async def write_blocks(self, blocks: Sequence[NewBlock]) -> None:
        """Store blocks; when this returns they are durable, bytes before rows.

        Raises:
            InvalidArgument: CONTENT_MISMATCH, one does not have its digest; none is kept.
            Unavailable: The store failed.
        """
        extents = await self._in_thread(lambda: self._store.write(blocks))
        rows = [(block.digest, block.size, extent) for block, extent in zip(blocks, extents, strict=True)]
        lost = await self._database.write(lambda tx: tx.blocks.add(rows))
        if lost:
            await self._in_thread(lambda: self._store.discard(lost))

    async def read_blocks(self, blocks: Sequence[FileBlock]) -> list[bytes]:
        """Read blocks, verified, in order."""
        return await self._in_thread(lambda: self._store.read([(b.digest, b.extent) for b in blocks]))

    async def get_tree(self, owner: Owner, sequence: int | None) -> Tree:
        """A snapshot with its digest, count and size."""

        def read(tx: Transaction) -> Tree:
            return tx.trees.describe(owner, snapshot(tx, owner, sequence))

        tree = await self._database.read(read)
        if tree.file_count > STAGE_SIZE:
            await self._database.write(lambda tx: tx.trees.keep_description(tree))
        return tree

    async def get_file(self, owner: Owner, sequence: int | None, path: str) -> Entry:
        """A file of a snapshot.

        Raises:
            NotFound: FILE_NOT_FOUND, also when a directory stands there.
        """
        return (await self.get_snapshot_file(owner, sequence, path))[1]

    async def get_snapshot_file(self, owner: Owner, sequence: int | None, path: str) -> tuple[int, Entry]:
        """The snapshot's number and a file of it; raises as ``get_file`` does."""

        def read(tx: Transaction) -> tuple[int, Entry]:
            at = snapshot(tx, owner, sequence)
            entry = tx.trees.get_entry(owner, at, path)
            if entry is None:
                raise not_found(owner, path)
            if entry.is_directory:
                raise NotFound(f"{shown(path)} of {owner} is a directory, not a file; list it instead.")
            return at, entry

        return await self._database.read(read)

    async def list_blocks(self, entry: Entry, first: int, last: int) -> AsyncIterator[FileBlock]:
        """Blocks of a file from position ``first`` to before ``last``, fetched a page at a time."""
        while first < last:
            start, limit = first, min(256, last - first)
            page = await self._database.read(lambda tx, s=start, n=limit: tx.trees.list_blocks(entry.file_id, s, n))  # type: ignore[misc]
            for block in page:
                yield block
            first += limit

    async def list_entries(
        self, owner: Owner, sequence: int | None, path: str, *, recursive: bool, after: str, limit: int
    ) -> tuple[int, list[Entry]]:
        """The snapshot's number and entries below ``path``, or the file that ``path`` names.

        Raises:
            NotFound: There is nothing at ``path``.
        """

        def read(tx: Transaction) -> tuple[int, list[Entry]]:
            at = snapshot(tx, owner, sequence)
            if path and not after:
                entry = tx.trees.get_entry(owner, at, path)
                if entry is None:
                    raise not_found(owner, path)
                if not entry.is_directory:
                    return at, [entry]
            return at, tx.trees.list_entries(owner, at, path, recursive=recursive, after=after, limit=limit)

        return await self._database.read(read)

    async def list_blocks_of(self, entries: Sequence[Entry]) -> dict[int, list[FileBlock]]:
        """All blocks of some small files, by file id."""
        ids = sorted({entry.file_id for entry in entries if entry.file_id})
        return await self._database.read(lambda tx: tx.trees.list_blocks_of(ids))

    def begin_commit(self, owner: Owner) -> Commit:
        """Start a commit; nothing happens before entries are added."""
        return Commit(self, self._database, owner)

    async def store_inline(self, entries: Sequence[InlineEntry]) -> list[tuple[bytes, int, Extent]]:
        """Store contents that are not there yet; returns the rows to add."""
        data = {e.entry.block_digests[0]: e.data for e in entries if e.data}
        missing = await self._database.read(lambda tx: tx.blocks.find_missing(list(data)))
        blocks = [NewBlock(digest, (data[digest],), len(data[digest])) for digest in missing]
        if not blocks:
            return []
        extents = await self._in_thread(lambda: self._store.write(blocks))
        return [(block.digest, block.size, extent) for block, extent in zip(blocks, extents, strict=True)]

    async def discard(self, extents: Sequence[Extent]) -> None:
        """Remove objects whose rows were not needed or not committed."""
        if extents:
            await self._in_thread(lambda: self._store.discard(extents))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a store goes on when its caller is cancelled, and its result must be recorded or discarded.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))


@dataclass(slots=True)
class Commit:
    """Entries on their way to become visible at once.

    Few entries are one transaction. Many are staged some thousand at a time, so that the write lock is never held for
    long, checked on a reader, and made visible by one small transaction. ``key`` makes a retry have one effect; it may
    be set until ``finish``; ``pending_bytes`` is the inline data that is in memory.
    """

    _service: ArtifactService
    _database: Database
    _owner: Owner
    key: RequestKey | None = None
    _pending: list[NewEntry | InlineEntry] = field(default_factory=list)
    _expectations: list[NewEntry] = field(default_factory=list)
    _commit_id: int | None = None
    pending_bytes: int = 0
    _missing: dict[bytes, None] = field(default_factory=dict)

    async def add(self, entries: Sequence[NewEntry | InlineEntry]) -> None:
        """Take more entries."""
        for entry in entries:
            plain = entry.entry if isinstance(entry, InlineEntry) else entry
            if plain.expected_absent or plain.expected_digest is not None:
                self._expectations.append(plain)
        if len(self._expectations) > MAX_EXPECTATIONS:
            raise InvalidArgument(
                f"A commit has at most {MAX_EXPECTATIONS} entries with an expectation.", reason=Reason.LIMIT_EXCEEDED
            )
        for entry in entries:
            self._pending.append(entry)
            self.pending_bytes += len(entry.data) if isinstance(entry, InlineEntry) else 0
            if len(self._pending) > STAGE_SIZE or self.pending_bytes > STAGE_BYTES:
                await self._stage(self._pending)
                self._pending, self.pending_bytes = [], 0

    async def finish(self) -> int:
        """Make all entries visible; returns the new sequence.

        Raises:
            BlocksMissing: Blocks must be written first; nothing changed.
            FailedPrecondition: PATH_CONFLICT, DELETED or MODEL_FINALIZED; nothing changed.
            Conflict: An expectation does not hold; nothing changed.
        """
        if self._commit_id is None:
            return await self._finish_small()
        await self._stage(self._pending)
        self._pending = []
        if self._missing:
            raise BlocksMissing(list(self._missing)[:16_384])
        return await self._seal_staged()

    async def abandon(self) -> None:
        """Forget what was staged, after an error."""
        commit_id, self._commit_id = self._commit_id, None
        if commit_id is not None:
            await self._database.write(lambda tx: tx.trees.abandon(commit_id))

    async def _finish_small(self) -> int:
        rows, plain = await self._store_inline(self._pending)
        lost: list[Extent] = [extent for _, _, extent in rows]  # unless the transaction says otherwise

        def job(tx: Transaction) -> bytes:
            nonlocal lost
            check_writable(tx, self._owner)
            recorded = tx.blocks.add(rows) if rows else []
            commit_id = tx.trees.begin_commit(self._owner)
            missing = tx.trees.stage(commit_id, plain, all_ancestors=False)
            if missing:
                raise BlocksMissing(missing[:16_384])
            tx.trees.check_conflicts(commit_id)
            self._check_expectations(tx)
            answer = str(tx.trees.seal(commit_id).sequence).encode()
            lost = recorded
            return answer

        sequence = int(await self._discarding(rows, self._database.write_once(self.key, job)))
        await self._service.discard(lost)
        return sequence

    async def _stage(self, part: Sequence[NewEntry | InlineEntry]) -> None:
        rows, plain = await self._store_inline(part)

        def job(tx: Transaction) -> tuple[int, list[bytes], list[Extent]]:
            lost = tx.blocks.add(rows) if rows else []
            if self._commit_id is None:
                check_writable(tx, self._owner)
            commit_id = self._commit_id if self._commit_id is not None else tx.trees.begin_commit(self._owner)
            return commit_id, tx.trees.stage(commit_id, plain, all_ancestors=True), lost

        self._commit_id, missing, lost = await self._discarding(rows, self._database.write(job))
        self._missing.update(dict.fromkeys(missing))
        await self._service.discard(lost)

    async def _discarding(self, rows: Sequence[tuple[bytes, int, Extent]], transaction: Awaitable[T]) -> T:
        """Remove stored objects when their transaction was refused.

        Only then: after a cancellation or a failing disk the rows may be there all the same, and gc finds what is not.
        """
        try:
            return await transaction
        except (BlocksMissing, DomainError) as error:
            if not isinstance(error, Unavailable):
                await self._service.discard([extent for _, _, extent in rows])
            raise

    async def _store_inline(
        self, part: Sequence[NewEntry | InlineEntry]
    ) -> tuple[list[tuple[bytes, int, Extent]], list[NewEntry]]:
        inline = [entry for entry in part if isinstance(entry, InlineEntry)]
        rows = await self._service.store_inline(inline) if inline else []
        return rows, [entry.entry if isinstance(entry, InlineEntry) else entry for entry in part]

    async def _seal_staged(self) -> int:
        commit_id = self._commit_id
        assert commit_id is not None
        checked = await self._database.read(lambda tx: tx.trees.check_conflicts(commit_id))

        def job(tx: Transaction) -> bytes:
            check_writable(tx, self._owner)
            # Only what was committed since the reader looked; usually nothing, so the lock is held for a moment.
            tx.trees.check_conflicts(commit_id, since=checked)
            self._check_expectations(tx)
            return str(tx.trees.seal(commit_id).sequence).encode()

        sequence = int(await self._database.write_once(self.key, job))
        if self.key is not None:
            await self._database.write(lambda tx: tx.trees.abandon(commit_id))
        self._commit_id = None
        return sequence

    def _check_expectations(self, tx: Transaction) -> None:
        if not self._expectations:
            return
        sequence = tx.trees.latest_sequence(self._owner)
        live = {e.path: e for e in tx.trees.get_entries(self._owner, sequence, [e.path for e in self._expectations])}
        for wanted in self._expectations:
            found = live.get(wanted.path)
            digest = found.digest if found else None
            if wanted.expected_absent and found is not None:
                raise _expectation_failed(wanted, "something is there already")
            if wanted.expected_digest is not None and digest != wanted.expected_digest:
                raise _expectation_failed(wanted, "it has another digest" if found else "nothing is there")


def delete_files(tx: Transaction, owner: Owner, paths: Sequence[str]) -> Tree:
    """Remove files, or directories with all below them, by a commit of its own."""
    check_writable(tx, owner)
    commit_id = tx.trees.begin_commit(owner)
    tx.trees.stage_removals(commit_id, paths)
    return tx.trees.seal(commit_id)


def check_writable(tx: Transaction, owner: Owner) -> None:
    """Refuse commits to what is not there, deleted or final.

    Raises:
        NotFound: RUN_NOT_FOUND or MODEL_NOT_FOUND.
        FailedPrecondition: DELETED or MODEL_FINALIZED.
    """
    state = _lifecycle(tx, owner)
    if state == "deleted":
        raise FailedPrecondition(
            f"The {owner} is deleted; restore it before logging to it.",
            reason=Reason.DELETED,
            metadata={"id": owner.id},
        )
    if owner.is_model and state != "PENDING":
        raise FailedPrecondition(
            f"The {owner} is final ({state}) and its artifacts cannot change. Log a new model instead.",
            reason=Reason.MODEL_FINALIZED,
            metadata={"model_id": owner.id},
        )


def snapshot(tx: Transaction, owner: Owner, sequence: int | None) -> int:
    """The number of the snapshot to read: that asked for, or the newest.

    Raises:
        NotFound: The owner is not there, or has no such snapshot yet.
    """
    _lifecycle(tx, owner)
    latest = tx.trees.latest_sequence(owner)
    if sequence is None:
        return latest
    if not 0 <= sequence <= latest:
        raise NotFound(f"The {owner} has no snapshot {sequence}; its newest is {latest}.")
    return sequence


def not_found(owner: Owner, path: str) -> NotFound:
    """The error for a path at which nothing stands."""
    return NotFound(f"There is no file or directory {shown(path)} in {owner}.", metadata={"path": ascii(path[:200])})


def _lifecycle(tx: Transaction, owner: Owner) -> str:
    """``deleted``, or what else is known; raises when the owner is not there."""
    if owner.is_model:
        state = tx.models.get_state(owner.id)
        if state is None:
            raise NotFound(f"There is no {owner}.", reason=Reason.MODEL_NOT_FOUND, metadata={"model_id": owner.id})
        status, lifecycle = state
        return "deleted" if str(lifecycle).lower() == "deleted" else str(status)
    lifecycle_stage = tx.runs.get_lifecycle(owner.id)
    if lifecycle_stage is None:
        raise NotFound(f"There is no {owner}.", reason=Reason.RUN_NOT_FOUND, metadata={"run_id": owner.id})
    return str(lifecycle_stage)


def _expectation_failed(entry: NewEntry, why: str) -> Conflict:
    return Conflict(
        f"{shown(entry.path)} is not as expected: {why}. Read it again and retry.", metadata={"path": ascii(entry.path)}
    )
