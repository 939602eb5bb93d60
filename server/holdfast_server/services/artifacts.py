"""Use cases of artifacts: storing blocks, committing entries, reading snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from holdfast_server.domain.artifacts import Entry, Extent, FileBlock, NewBlock, Owner, Tree
from holdfast_server.domain.names import shown
from holdfast_server.errors import DataLoss, NotFound
from holdfast_server.services import recording
from holdfast_server.services.access import current_viewer
from holdfast_server.services.auditing import note_change
from holdfast_server.services.commits import STAGE_SIZE, Commit, InlineEntry
from holdfast_server.services.owners import expired, not_found, snapshot
from holdfast_server.services.ports.artifacts import AddedBlocks, BlockStore
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.ports.measures import BlockObserver
from holdfast_server.services.recording import BlockRow, record
from holdfast_server.services.workers import charge, is_charged

T = TypeVar("T")


def find_missing(tx: Transaction, digests: Sequence[bytes]) -> list[bytes]:
    """Those of some blocks that are not present for the current caller, in order, each once."""
    viewer = current_viewer()
    if viewer is None:
        return tx.blocks.find_missing(digests)
    wanted = list(dict.fromkeys(digests))
    known = tx.known_blocks.find(wanted, viewer)
    return [digest for digest in wanted if digest not in known]


def _missing_and_stale(tx: Transaction, digests: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    missing, viewer = find_missing(tx, digests), current_viewer()
    if viewer is None:
        return missing, tx.blocks.find_stale(digests)
    return missing, tx.known_blocks.find_stale(list(set(digests).difference(missing)), viewer)


def _touch(tx: Transaction, digests: Sequence[bytes]) -> None:
    tx.blocks.touch(digests)
    viewer = current_viewer()
    if viewer is not None:
        tx.known_blocks.touch(digests, viewer)


class ArtifactService:
    """What can be done with artifacts. Blocking work goes to ``executor``, never on the event loop."""

    def __init__(
        self,
        database: Database,
        store: BlockStore,
        executor: Executor,
        *,
        now_ms: Callable[[], int] = recording.now_ms,
        observer: BlockObserver | None = None,
    ) -> None:
        self._database, self._store, self._executor = database, store, executor
        self.now_ms = now_ms
        self._observer = observer

    async def find_missing_blocks(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those that the caller must write; the others live on for another day."""
        missing, stale = await self._database.read(lambda tx: _missing_and_stale(tx, digests))
        if stale:
            await self._database.write(lambda tx: _touch(tx, stale))
        if self._observer is not None and len(missing) < len(digests):
            present = list(set(digests).difference(missing))
            sizes = await self._database.read(lambda tx: [x.length for x in tx.blocks.find_places(present).values()])
            self._observer.spared(len(sizes), sum(sizes))
        return missing

    async def write_blocks(self, blocks: Sequence[NewBlock]) -> None:
        """Store blocks; when this returns they are durable, bytes before rows.

        Raises:
            InvalidArgument: CONTENT_MISMATCH, one does not have its digest; none is kept.
            Unavailable: The store failed.
        """
        await self._charge(sum(block.size for block in blocks))
        began_ms = self.now_ms()
        extents = await self._in_thread(lambda: self._store.write(blocks))
        rows = [(block.digest, block.size, extent) for block, extent in zip(blocks, extents, strict=True)]

        def job(tx: Transaction) -> AddedBlocks:
            # Blocks belong to nobody until they are committed, so nothing more is known than who sends some.
            note_change(tx, [], coalesce=True)
            return record(tx, rows, began_ms)

        added = await self._database.write(job)
        if self._observer is not None:
            new_size = sum(size for _, size in added.new.values())
            self._observer.received(len(rows), sum(row[1] for row in rows), new=len(added.new), new_size=new_size)
        if added.lost:
            await self._in_thread(lambda: self._store.discard(added.lost))

    async def read_blocks(self, blocks: Sequence[FileBlock]) -> list[bytes]:
        """Read blocks, verified, in order."""
        found = await self._read_blocks([(block.digest, block.extent) for block in blocks])
        if self._observer is not None:
            self._observer.read(len(found), sum(map(len, found)))
        return found

    async def _read_blocks(self, places: list[tuple[bytes, Extent]]) -> list[bytes]:
        try:
            return await self._in_thread(lambda: self._store.read(places))
        except DataLoss:
            # Compaction may have moved them since they were looked up, or an upload stored a lost one anew.
            found = await self._database.read(lambda tx: tx.blocks.find_places([digest for digest, _ in places]))
            moved = [(digest, found.get(digest, extent)) for digest, extent in places]
            if moved == places:
                raise
        return await self._in_thread(lambda: self._store.read(moved))

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
            if len(page) < limit:
                raise expired("The file")
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
        ids = sorted({entry.file_id for entry in entries if entry.size})
        found = await self._database.read(lambda tx: tx.trees.list_blocks_of(ids))
        if len(found) < len(ids):
            raise expired("A file")
        return found

    def begin_commit(self, owner: Owner) -> Commit:
        """Start a commit; nothing happens before entries are added."""
        return Commit(self, self._database, owner)

    async def store_inline(self, entries: Sequence[InlineEntry]) -> list[BlockRow]:
        """Store contents that are not there yet; returns the rows to add.

        What is there, but not for the caller, is stored like anything new, so that the time it takes tells nothing.
        """
        await self._charge(sum(len(e.data) for e in entries))
        data = {e.entry.block_digests[0]: e.data for e in entries if e.data}
        missing = await self._database.read(lambda tx: find_missing(tx, list(data)))
        if self._observer is not None:
            new_size = sum(len(data[digest]) for digest in missing)
            self._observer.received(len(data), sum(map(len, data.values())), new=len(missing), new_size=new_size)
        blocks = [NewBlock(digest, (data[digest],), len(data[digest]), computed=True) for digest in missing]
        if not blocks:
            return []
        extents = await self._in_thread(lambda: self._store.write(blocks))
        return [(block.digest, block.size, extent) for block, extent in zip(blocks, extents, strict=True)]

    async def _charge(self, size: int) -> None:
        """Count bytes before they are stored; concurrent streams of one worker share its budget."""
        if is_charged():
            await self._database.write(lambda tx: charge(tx, size))

    async def discard(self, extents: Sequence[Extent]) -> None:
        """Remove objects whose rows were not needed or not committed."""
        if extents:
            await self._in_thread(lambda: self._store.discard(extents))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a store goes on when its caller is cancelled, and its result must be recorded or discarded.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))
