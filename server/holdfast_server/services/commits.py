"""Commits: entries on their way to become visible at once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from holdfast_server.domain.artifacts import MAX_INLINE, Extent, NewEntry, Owner, Tree
from holdfast_server.domain.names import shown
from holdfast_server.errors import Conflict, DomainError, InvalidArgument, Reason, Unavailable
from holdfast_server.services.access import current_viewer
from holdfast_server.services.auditing import note_change, of_owner
from holdfast_server.services.changes import seal
from holdfast_server.services.owners import check_writable
from holdfast_server.services.ports.database import Database, RequestKey, Transaction
from holdfast_server.services.recording import BlockRow, record

T = TypeVar("T")

# Entries in one transaction; keeps the write lock's time to some milliseconds.
STAGE_SIZE = 2_000
# Entries of the first part of a commit, so that storing begins while the rest arrives; each part has twice as many.
FIRST_STAGE_SIZE = 250
# Inline data of one transaction.
STAGE_BYTES = 4 << 20
# Parts of one commit that are on their way to the store and the database while further entries arrive.
STAGING = 2
MAX_EXPECTATIONS = 10_000
MAX_MISSING = 16_384


class BlocksMissing(Exception):  # noqa: N818 - not an error: the caller writes them and commits again
    """A commit names blocks that are not there."""

    def __init__(self, digests: list[bytes]) -> None:
        super().__init__(f"{len(digests)} blocks are missing")
        self.digests = digests


@dataclass(slots=True)  # not frozen, as NewEntry
class InlineEntry:
    """An entry that brings its content with it."""

    entry: NewEntry
    data: bytes


def inline_digests(data: bytes) -> tuple[bytes, ...]:
    """Digests of the blocks of an inline content: one, or none of the empty one.

    Raises:
        InvalidArgument: LIMIT_EXCEEDED, it is too large to be inline.
    """
    if len(data) > MAX_INLINE:
        raise InvalidArgument(
            f"Inline data is at most {MAX_INLINE} bytes, not {len(data)}; write larger content as blocks.",
            reason=Reason.LIMIT_EXCEEDED,
            field="entries.inline_data",
        )
    return (hashlib.sha256(data).digest(),) if data else ()


class InlineStore(Protocol):
    """Where the contents of inline entries go."""

    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""
        ...

    async def store_inline(self, entries: Sequence[InlineEntry]) -> list[BlockRow]:
        """Store contents that are not there yet; returns the rows to add."""
        ...

    async def discard(self, extents: Sequence[Extent]) -> None:
        """Remove objects whose rows were not needed or not committed."""
        ...


@dataclass(slots=True)
class Commit:
    """Entries on their way to become visible at once.

    Entries are staged in parts while further ones arrive. When they are few, the last part, which as a rule is all of
    them, is made visible in the transaction that stages it. Many are checked on a reader and made visible by one small
    transaction, so that the write lock is never held for long. ``key`` makes a retry have one effect; it may be set
    until ``finish``.
    """

    _store: InlineStore
    _database: Database
    _owner: Owner
    key: RequestKey | None = None
    _pending: list[NewEntry | InlineEntry] = field(default_factory=list)
    _pending_bytes: int = 0
    _part_size: int = FIRST_STAGE_SIZE
    _count: int = 0
    _staging: deque[tuple[int, asyncio.Task[None]]] = field(default_factory=deque)
    _expectations: list[NewEntry] = field(default_factory=list)
    _commit_id: int | None = None
    _missing: dict[bytes, None] = field(default_factory=dict)
    # As counted when the first part was staged; from then on a repair may take blocks away that were there.
    _repairs: int = 0

    @property
    def held_bytes(self) -> int:
        """Inline data that is in memory."""
        return self._pending_bytes + sum(size for size, _ in self._staging)

    async def add(self, entries: Sequence[NewEntry | InlineEntry]) -> None:
        """Take more entries; waits while two parts of the commit are being staged.

        Raises:
            DomainError: Entries that were added before cannot be committed.
        """
        for entry in entries:
            plain = entry.entry if isinstance(entry, InlineEntry) else entry
            if plain.expected_absent or plain.expected_digest is not None:
                self._expectations.append(plain)
        if len(self._expectations) > MAX_EXPECTATIONS:
            raise InvalidArgument(
                f"A commit has at most {MAX_EXPECTATIONS} entries with an expectation.", reason=Reason.LIMIT_EXCEEDED
            )
        self._count += len(entries)
        for entry in entries:
            self._pending.append(entry)
            self._pending_bytes += len(entry.data) if isinstance(entry, InlineEntry) else 0
            if len(self._pending) > self._part_size or self._pending_bytes > STAGE_BYTES:
                await self._stage_pending()
                self._part_size = min(2 * self._part_size, STAGE_SIZE)

    async def flush(self) -> None:
        """Stage all that was added, so that none of it is in memory."""
        if self._pending_bytes:
            await self._stage_pending()
        await self._settle(0)

    async def finish(self) -> int:
        """Make all entries visible; returns the new sequence.

        Raises:
            BlocksMissing: Blocks must be written first; nothing changed.
            FailedPrecondition: PATH_CONFLICT, DELETED or MODEL_FINALIZED; nothing changed.
            Conflict: An expectation does not hold; nothing changed.
        """
        if self._count <= STAGE_SIZE:
            await self._settle(0)
            return await self._finish_few()
        await self._stage_pending()
        await self._settle(0)
        if self._missing:
            raise BlocksMissing(list(self._missing)[:MAX_MISSING])
        return await self._finish_many()

    async def abandon(self) -> None:
        """Forget what was staged, after an error.

        The contents that came are kept for a day all the same, as those of any upload that was interrupted: a link that
        breaks every few megabytes still gets forward.
        """
        while self._staging:
            with contextlib.suppress(Exception):
                await self._staging.popleft()[1]
        commit_id, self._commit_id = self._commit_id, None
        if commit_id is not None:
            await self._database.write(lambda tx: tx.trees.abandon(commit_id))
        with contextlib.suppress(DomainError):
            began_ms = self._store.now_ms()
            rows, _ = await self._store_inline(self._pending)
            await self._keep(rows, began_ms)

    async def _keep(self, rows: Sequence[BlockRow], began_ms: int) -> None:
        """Record contents that were stored for entries that are not committed, so that they need not come again."""
        if rows:
            await self._store.discard(await self._database.write(lambda tx: record(tx, rows, began_ms).lost))

    async def _stage_pending(self) -> None:
        part, size = self._pending, self._pending_bytes
        await self._settle(STAGING - 1)
        self._pending, self._pending_bytes = [], 0
        before = self._staging[-1][1] if self._staging else None
        self._staging.append((size, asyncio.create_task(self._stage(part, before))))

    async def _settle(self, limit: int) -> None:
        """Wait until at most ``limit`` parts are being staged."""
        while len(self._staging) > limit:
            # Shielded: when the caller is cancelled, ``abandon`` waits for the part.
            await asyncio.shield(self._staging[0][1])
            self._staging.popleft()

    async def _stage(self, part: Sequence[NewEntry | InlineEntry], before: asyncio.Task[None] | None) -> None:
        """Store the contents of a part at once, and its rows after those of the part before it."""
        began_ms = self._store.now_ms()
        rows, plain = await self._store_inline(part)
        if before is not None:
            try:
                await before
            except Exception:
                with contextlib.suppress(DomainError):
                    await self._keep(rows, began_ms)
                raise

        def job(tx: Transaction) -> tuple[int, list[bytes], Sequence[Extent]]:
            added = record(tx, rows, began_ms)
            if self._commit_id is None:
                check_writable(tx, self._owner)
                self._repairs = tx.blocks.count_repairs()
            commit_id = self._commit_id if self._commit_id is not None else tx.trees.begin_commit(self._owner)
            missing = tx.trees.stage(
                commit_id, plain, all_ancestors=True, new_blocks=added.new, viewer=current_viewer()
            )
            return commit_id, missing, added.lost

        self._commit_id, missing, lost = await self._discarding(rows, self._database.write(job))
        self._missing.update(dict.fromkeys(missing))
        await self._store.discard(lost)

    async def _finish_few(self) -> int:
        """Stage what is pending and make everything visible, in one transaction."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        began_ms = self._store.now_ms()
        rows, plain = await self._store_inline(pending)
        lost: Sequence[Extent] = [extent for _, _, extent in rows]  # unless the transaction says otherwise

        def job(tx: Transaction) -> bytes:
            nonlocal lost
            check_writable(tx, self._owner)
            added = record(tx, rows, began_ms)
            commit_id = self._commit_id
            if commit_id is None:
                commit_id = tx.trees.begin_commit(self._owner)
            else:
                self._check_repairs(tx, commit_id)
            staged = tx.trees.stage(
                commit_id, plain, all_ancestors=False, new_blocks=added.new, viewer=current_viewer()
            )
            missing = [*self._missing, *staged]
            if missing:
                raise BlocksMissing(missing[:MAX_MISSING])
            tx.trees.check_conflicts(commit_id)
            self._check_expectations(tx)
            answer = str(self._seal(tx, commit_id)).encode()
            lost = added.lost
            return answer

        sequence = int(await self._discarding(rows, self._database.write_once(self.key, job)))
        await self._store.discard(lost)
        await self._forget_stage()
        return sequence

    async def _discarding(self, rows: Sequence[BlockRow], transaction: Awaitable[T]) -> T:
        """Remove stored objects when their transaction was refused.

        Only then: after a cancellation or a failing disk the rows may be there all the same, and gc finds what is not.
        """
        try:
            return await transaction
        except (BlocksMissing, DomainError) as error:
            if not isinstance(error, Unavailable):
                await self._store.discard([extent for _, _, extent in rows])
            raise

    async def _store_inline(self, part: Sequence[NewEntry | InlineEntry]) -> tuple[list[BlockRow], list[NewEntry]]:
        inline = [entry for entry in part if isinstance(entry, InlineEntry)]
        rows = await self._store.store_inline(inline) if inline else []
        return rows, [entry.entry if isinstance(entry, InlineEntry) else entry for entry in part]

    async def _finish_many(self) -> int:
        """Make what was staged visible."""
        commit_id = self._commit_id
        assert commit_id is not None

        def check(tx: Transaction) -> int:
            self._check_repairs(tx, commit_id)
            return tx.trees.check_conflicts(commit_id)

        checked = await self._database.read(check)

        def job(tx: Transaction) -> bytes:
            check_writable(tx, self._owner)
            self._check_repairs(tx, commit_id)
            # Only what was committed since the reader looked; usually nothing, so the lock is held for a moment.
            tx.trees.check_conflicts(commit_id, since=checked)
            self._check_expectations(tx)
            return str(self._seal(tx, commit_id)).encode()

        sequence = int(await self._database.write_once(self.key, job))
        await self._forget_stage()
        return sequence

    def _seal(self, tx: Transaction, commit_id: int) -> int:
        """Make the commit visible; returns its sequence."""
        sequence = seal(tx, self._owner, commit_id).sequence
        note_change(tx, of_owner(tx, self._owner), {"sequence": sequence})
        return sequence

    async def _forget_stage(self) -> None:
        """Remove what a retry staged, which was answered as the first time; a commit that was sealed stays."""
        commit_id, self._commit_id = self._commit_id, None
        if commit_id is not None and self.key is not None:
            await self._database.write(lambda tx: tx.trees.abandon(commit_id))

    def _check_repairs(self, tx: Transaction, commit_id: int) -> None:
        """Refuse blocks that were there when they were staged and that a repair found to be lost since."""
        repairs = tx.blocks.count_repairs()
        if repairs != self._repairs:
            lost = tx.trees.find_lost(commit_id, MAX_MISSING)
            if lost:
                raise BlocksMissing(lost)
            self._repairs = repairs

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
    """Remove files, or directories with all below them, by a commit of its own; the path "" is the root."""
    check_writable(tx, owner)
    commit_id = tx.trees.begin_commit(owner)
    tx.trees.stage_removals(commit_id, paths)
    return seal(tx, owner, commit_id)


def _expectation_failed(entry: NewEntry, why: str) -> Conflict:
    return Conflict(
        f"{shown(entry.path)} is not as expected: {why}. Read it again and retry.", metadata={"path": ascii(entry.path)}
    )
