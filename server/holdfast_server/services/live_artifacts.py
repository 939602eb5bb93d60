"""Use cases of live artifacts: opening, appending, closing. Reading them is in ``live_tails``."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from holdfast.format.digests import BLOCK_SIZE, DIGEST_SIZE
from holdfast_server.domain.artifacts import Extent, Kind, NewBlock, NewEntry, Owner
from holdfast_server.domain.live import MAX_OPEN, MAX_TAIL, Append, LiveFile, LiveState, OpenMode
from holdfast_server.domain.names import shown
from holdfast_server.domain.paths import ancestors, nfc
from holdfast_server.errors import (
    AlreadyExists,
    DataLoss,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Reason,
    Unavailable,
)
from holdfast_server.services.auditing import note_change, of_owner
from holdfast_server.services.changes import disown, seal
from holdfast_server.services.live_pieces import blocks_to_go_on, get_live, kept_bytes
from holdfast_server.services.live_reading import OpenFileReader, not_open
from holdfast_server.services.live_watch import LiveWatch
from holdfast_server.services.owners import check_exists, check_writable
from holdfast_server.services.ports.artifacts import BlockStore
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.recording import now_ms, record
from holdfast_server.services.workers import charge, is_charged

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Without a sign of life for so long a writer has vanished, and what it wrote becomes a file.
ABANDONED_MS = 24 * 3600 * 1000
# Those that ended are remembered for so long, for the sake of those who tail them.
REMEMBERED_MS = 24 * 3600 * 1000


class LiveArtifactService:
    """What can be done with files that are being written. Blocking work goes to ``executor``."""

    def __init__(self, database: Database, store: BlockStore, executor: Executor, watch: LiveWatch) -> None:
        self._database, self._store, self._executor, self._watch = database, store, executor, watch
        self._reader = OpenFileReader(database, store, self._in_thread)

    async def append(self, append: Append, digest: bytes) -> LiveFile:
        """Add bytes, durable when this returns; those that are there already are compared.

        Raises:
            NotFound: LIVE_ARTIFACT_NOT_FOUND.
            FailedPrecondition: WRITER_SUPERSEDED, NOT_OPEN, or the owner cannot be written.
            InvalidArgument: The data does not have its digest, the offset is behind the end, or other bytes are there.
        """
        if len(digest) != DIGEST_SIZE or await self._hash(append.data) != digest:
            raise InvalidArgument(
                "The data does not have its digest; nothing of it was kept. Send it again.",
                reason=Reason.CONTENT_MISMATCH,
                field="digest",
            )
        if is_charged():
            await self._database.write(lambda tx: charge(tx, len(append.data)))
        live: LiveFile | None = None
        while live is None:
            step = await self._database.write(partial(_append_small, append=append))
            if step.done:
                live = step.live
            elif append.offset < step.live.size:
                append = await self._without_known(step.live, append)
            else:
                # None when the file changed meanwhile, by a repetition or another writer: look again.
                live = await self._append_blocks(step.live, append, step.tail)
        self._watch.notify(live.number)
        return live

    async def consolidate(self, live: LiveFile) -> LiveFile:
        """Make one block of the pieces of each full block's length; one whose pieces are all there, at a time."""
        while live.state is LiveState.OPEN and live.in_blocks - live.full >= BLOCK_SIZE:
            await self._merge(live)
            live = await self._database.read(lambda tx: get_live(tx, live.id))  # noqa: B023 - awaited here
        return live

    async def close(self, live_id: str, writer: str, size: int) -> LiveFile:
        """Make a file of it; one that this writer closed already stays as it is.

        Raises:
            NotFound: LIVE_ARTIFACT_NOT_FOUND.
            FailedPrecondition: PATH_CONFLICT, WRITER_SUPERSEDED, NOT_OPEN, or the owner cannot be written.
            InvalidArgument: It has another size.
        """
        while True:
            live = await self._database.read(lambda tx: get_live(tx, live_id))
            if live.state is LiveState.CLOSED and live.writer == writer and live.size == size:
                return live
            _check_writer(live, writer)
            if live.size != size:
                raise InvalidArgument(
                    f"{live.size} bytes of {shown(live.path)} are durable, and not {size}; append the others first.",
                    field="size",
                    metadata={"size": str(live.size)},
                )
            live = await self.consolidate(live)
            closed = await self._close(live)
            if closed is not None:
                self._watch.notify(live.number)
                return closed

    async def close_abandoned(self, idle_ms: int = ABANDONED_MS) -> None:
        """Close those whose writers have vanished, and forget those that ended long ago."""
        after = 0
        while True:
            page = await self._database.read(lambda tx, a=after: tx.live.list_idle(tx.now_ms - idle_ms, a, 100))  # type: ignore[misc]
            for live in page:
                await self._close_abandoned(live)
                after = live.number
            if not page:
                break
        while await self._database.write(lambda tx: tx.live.delete_ended(tx.now_ms - REMEMBERED_MS, 500)):
            pass

    async def _close_abandoned(self, live: LiveFile) -> None:
        try:
            await self.close(live.id, live.writer, live.size)
            logger.info("closed %s of %s: nobody has appended to it for long", shown(live.path), live.owner)
        except NotFound:
            # The owner was deleted for good.
            await self._database.write(lambda tx: tx.live.delete(live))
        except DomainError as error:
            logger.warning("%s of %s stays open: %s", shown(live.path), live.owner, error.message)

    async def _without_known(self, live: LiveFile, append: Append) -> Append:
        """What is new of an append that begins before the end; the rest must be what is there."""
        end = min(live.size, append.offset + len(append.data))
        if await self._reader.read(live, append.offset, end) != append.data[: end - append.offset]:
            raise InvalidArgument(
                f"{shown(live.path)} has other bytes at {append.offset} than those that were sent. A writer repeats "
                "the same, or goes on at the end.",
                reason=Reason.CONTENT_MISMATCH,
                field="data",
                metadata={"size": str(live.size)},
            )
        return append.from_offset(end)

    async def _append_blocks(self, live: LiveFile, append: Append, tail: bytes) -> LiveFile | None:
        """Put the tail and new bytes into blocks; None when the file changed meanwhile and nothing was done."""
        blocks = await self._in_thread(lambda: _cut(live.in_blocks, tail + append.data))

        def add(tx: Transaction) -> LiveFile | None:
            now = get_live(tx, live.id)
            _check_writer(now, append.writer)
            check_writable(tx, now.owner)
            if now.size != live.size:
                return None
            tx.live.add_blocks(now, [(block.digest, block.size) for block in blocks])
            _note_append(tx, now)
            return get_live(tx, live.id)

        return await self._store_blocks(blocks, add)

    async def _merge(self, live: LiveFile) -> None:
        block = await self._reader.join(live, live.full + BLOCK_SIZE)

        def merge(tx: Transaction) -> bool:
            now = get_live(tx, live.id)
            if now.state is not LiveState.OPEN or now.full != live.full:
                return False
            tx.live.merge(now, block.digest)
            return True

        await self._store_blocks([block], merge)

    async def _close(self, live: LiveFile) -> LiveFile | None:
        """Commit the file; None when it changed meanwhile and nothing was done."""
        last = await self._reader.join(live, live.size) if live.size > live.full else None

        def close(tx: Transaction) -> LiveFile | None:
            now = get_live(tx, live.id)
            if replace(now, update_time=live.update_time) != live:
                return None
            entry = _entry(now, (*tx.live.full_digests(now), *([last.digest] if last is not None else [])))
            check_writable(tx, now.owner)
            commit_id = tx.trees.begin_commit(now.owner)
            # The pieces hold the full blocks, and the last one was recorded just now: one that is missing was found to
            # be lost.
            missing = tx.trees.stage(commit_id, [entry], all_ancestors=False)
            if missing:
                raise DataLoss(
                    f"Block {missing[0].hex()} of the live artifact is lost; it stays open. Restore the store from a "
                    "backup, or write the artifact anew."
                )
            tx.trees.check_conflicts(commit_id)
            sequence = seal(tx, now.owner, commit_id).sequence
            tx.live.close(now, entry.file_digest, sequence)
            details = {"path": now.path, "size": now.size, "sequence": sequence}
            note_change(tx, [f"live/{now.id}", *of_owner(tx, now.owner)], details)
            return get_live(tx, live.id)

        return await self._store_blocks([last] if last is not None else [], close)

    async def _store_blocks(self, blocks: Sequence[NewBlock], job: Callable[[Transaction], T]) -> T:
        """Store blocks, then record them and run ``job`` in one transaction; what comes of nothing is removed again."""
        began_ms = now_ms()
        extents = await self._in_thread(lambda: self._store.write(blocks)) if blocks else []
        rows = [(block.digest, block.size, extent) for block, extent in zip(blocks, extents, strict=True)]

        def recorded(tx: Transaction) -> tuple[T, Sequence[Extent]]:
            lost = record(tx, rows, began_ms).lost
            return job(tx), lost

        try:
            result, lost = await self._database.write(recorded)
        except DomainError as error:
            if not isinstance(error, Unavailable):
                await self._discard(extents)
            raise
        await self._discard(lost)
        return result

    async def _discard(self, extents: Sequence[Extent]) -> None:
        if extents:
            await self._in_thread(lambda: self._store.discard(extents))

    async def _hash(self, data: bytes) -> bytes:
        if len(data) <= MAX_TAIL:  # some 40 µs, less than a change of threads
            return hashlib.sha256(data).digest()
        return await self._in_thread(lambda: hashlib.sha256(data).digest())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a store goes on when its caller is cancelled, and its result must be recorded or discarded.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))


def open_live(tx: Transaction, owner: Owner, path: str, mode: OpenMode) -> LiveFile:
    """Make the caller the one writer of ``path``; the writer before it can append no more.

    Raises:
        NotFound: The owner is not there.
        AlreadyExists: With EXCLUSIVE, something is there.
        FailedPrecondition: PATH_CONFLICT, or the owner cannot be written.
        InvalidArgument: LIMIT_EXCEEDED, too many are open.
        DataLoss: A file is to go on of which a block is lost.
    """
    check_writable(tx, owner)
    live = tx.live.get_open(owner, path)
    entry = tx.trees.get_entry(owner, tx.trees.latest_sequence(owner), path)
    if mode is OpenMode.EXCLUSIVE and (live is not None or entry is not None):
        what = "is being written" if live is not None else "is there"
        raise AlreadyExists(f"{shown(path)} of {owner} {what} already.", metadata={"path": ascii(path[:200])})
    writer = tx.ids.new_id()
    if live is not None and mode is OpenMode.APPEND:
        return tx.live.take_over(live, writer)
    _check_place(tx, owner, path)
    if live is not None:
        tx.live.replace(live)
    begun = tx.live.create(owner, path, writer=writer, executable=entry is not None and entry.executable)
    if mode is OpenMode.APPEND and entry is not None and entry.size:
        tx.live.add_blocks(begun, blocks_to_go_on(tx, entry))
    return get_live(tx, begun.id)


def list_live(tx: Transaction, owner: Owner) -> list[LiveFile]:
    """What is being written in a tree.

    Raises:
        NotFound: Its owner is not there.
    """
    check_exists(tx, owner)
    return tx.live.list_open(owner)


@dataclass(frozen=True, slots=True)
class _Step:
    """A look at a file that is to be appended to: done, or as it is, with the bytes of its tail."""

    live: LiveFile
    done: bool
    tail: bytes = b""


def _append_small(tx: Transaction, append: Append) -> _Step:
    """Add a few bytes in the database itself; nothing is done when they are many, or when bytes are there already."""
    live = get_live(tx, append.live_id)
    _check_writer(live, append.writer)
    check_writable(tx, live.owner)
    if append.offset > live.size:
        raise InvalidArgument(
            f"{shown(live.path)} has {live.size} bytes, so nothing can be appended at {append.offset}. Go on at its "
            "end.",
            field="offset",
            metadata={"size": str(live.size)},
        )
    if not append.data:
        tx.live.renew(live)
    elif append.offset < live.size:
        return _Step(live, done=False)
    elif live.size - live.in_blocks + len(append.data) <= MAX_TAIL:
        tx.live.append_tail(live, append.data)
        _note_append(tx, live)
    else:
        pieces = tx.live.list_pieces(live, live.in_blocks, MAX_TAIL) if live.size > live.in_blocks else []
        return _Step(live, done=False, tail=b"".join(map(kept_bytes, pieces)))
    return _Step(get_live(tx, live.id), done=True)


def _note_append(tx: Transaction, live: LiveFile) -> None:
    disown(tx, live.owner)  # now, since somebody else may close it
    note_change(tx, [f"live/{live.id}", *of_owner(tx, live.owner)], {"path": live.path}, coalesce=True)


def _cut(offset: int, data: bytes) -> list[NewBlock]:
    """Blocks of bytes that begin at ``offset``; none crosses a multiple of the block size."""
    blocks = []
    view = memoryview(data)
    while view:
        size = min(len(view), BLOCK_SIZE - offset % BLOCK_SIZE)
        part = view[:size]
        blocks.append(NewBlock(hashlib.sha256(part).digest(), (part,), size))
        view, offset = view[size:], offset + size
    return blocks


def _entry(live: LiveFile, block_digests: tuple[bytes, ...]) -> NewEntry:
    return NewEntry(
        path=live.path,
        kind=Kind.FILE,
        executable=live.executable,
        size=live.size,
        block_digests=block_digests,
    )


def _check_place(tx: Transaction, owner: Owner, path: str) -> None:
    """Refuse a path that could not become an entry: by the tree, and by what else is being written."""
    # A commit that is given up again makes exactly the checks that closing will make.
    commit_id = tx.trees.begin_commit(owner)
    tx.trees.stage(commit_id, [NewEntry(path=path, kind=Kind.FILE)], all_ancestors=False)
    tx.trees.check_conflicts(commit_id)
    tx.trees.abandon(commit_id)
    others = [live.path for live in tx.live.list_open(owner) if live.path != path]
    if len(others) >= MAX_OPEN:
        raise InvalidArgument(
            f"{MAX_OPEN} live artifacts of {owner} are open, which is the limit. Close some first.",
            reason=Reason.LIMIT_EXCEEDED,
            metadata={"limit": str(MAX_OPEN)},
        )
    above = {*ancestors(path)}
    for other in others:
        if other in above or path in ancestors(other) or nfc(other) == nfc(path):
            raise FailedPrecondition(
                f"{shown(path)} and {shown(other)}, which is being written, cannot both be files. Choose another path.",
                reason=Reason.PATH_CONFLICT,
                metadata={"path": ascii(path[:200])},
            )


def _check_writer(live: LiveFile, writer: str) -> None:
    if live.writer != writer:
        raise FailedPrecondition(
            f"Another writer has opened {shown(live.path)} since, and only that one may append. Open it again, with "
            "mode 'a' to go on where it ends.",
            reason=Reason.WRITER_SUPERSEDED,
            metadata={"live_id": live.id},
        )
    if live.state is not LiveState.OPEN:
        raise not_open(live)
