"""Repositories of upkeep: what is unused, what is broken, and who looks after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast_server.domain.artifacts import Extent
from holdfast_server.domain.upkeep import Finding, OwnerUsage, Place, StorageUsage


@dataclass(frozen=True, slots=True)
class IdPage:
    """Some ids, in order, and the last one that was looked at; None: there are no more rows."""

    ids: list[int]
    last: int | None


@dataclass(frozen=True, slots=True)
class UnprunedTree:
    """A tree with commits whose predecessors may be unused.

    Attributes:
        tree_id: Its id.
        pruned_to: How far it was pruned.
        kept_from: The oldest snapshot to be kept besides those that are pinned.
        emptied: Look at it as if everything had been removed before that snapshot.
    """

    tree_id: int
    pruned_to: int
    kept_from: int
    emptied: bool = False


@dataclass(frozen=True, slots=True)
class ObsoleteEntry:
    """A version of a path that no snapshot shows which is to be kept."""

    path: str
    commit_id: int
    file_id: int | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object, as the database knows it."""

    object_id: int
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block, as the database knows it."""

    block_id: int
    digest: bytes
    object_id: int
    extent: Extent


class LeaseRepository(Protocol):
    """Work that one process at a time may do."""

    def take(self, name: str, holder: str, description: str, length_ms: int) -> None:
        """Take a lease that nobody holds, or whose holder did not renew it.

        Raises:
            FailedPrecondition: UPKEEP_RUNNING, somebody else holds it; the message says who and since when.
        """
        ...

    def renew(self, name: str, holder: str, length_ms: int) -> None:
        """Hold it longer.

        Raises:
            Conflict: It expired and somebody else took it.
        """
        ...

    def release(self, name: str, holder: str) -> None:
        """Give it back; one that is somebody else's by now stays."""
        ...


class HistoryRepository(Protocol):
    """Snapshots that nobody can need any more."""

    def list_unpruned(self, after: int, limit: int, *, before_ms: int) -> tuple[list[UnprunedTree], int | None]:
        """Trees with something to prune, in order of ids, and the last id looked at, or None at the end.

        Kept are the newest snapshot, those that were the newest after ``before_ms``, and those that are pinned.
        """
        ...

    def close_before(self, tree: UnprunedTree) -> None:
        """Refuse reads of older snapshots from now on, so that none is ever shown in part."""
        ...

    def find_obsolete(self, tree: UnprunedTree, after: str, limit: int) -> tuple[list[ObsoleteEntry], str | None]:
        """Entries of paths after ``after`` to delete, and the last path looked at, or None at the end."""
        ...

    def delete_entries(self, tree: UnprunedTree, entries: Sequence[ObsoleteEntry]) -> int:
        """Delete some entries, and commits that have none left."""
        ...

    def finish(self, tree: UnprunedTree) -> None:
        """Remember that a tree is pruned, unless a pin went meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class Purged:
    """A run or logged model that was taken out of reach.

    Attributes:
        is_run: Whether it was a run.
        number: The storage's own name of it.
        id: The id that it had.
        experiment_id: Where it belonged.
    """

    is_run: bool
    number: int
    id: str
    experiment_id: int


class PurgeRepository(Protocol):
    """Deleted runs and models that go for good, in bounded steps."""

    def count_purgeable(self, before_ms: int) -> tuple[int, int]:
        """How many runs and models were deleted before a time."""
        ...

    def purge_next(self, before_ms: int) -> Purged | None:
        """Take one run or model deleted before a time out of reach, its tree with it; None when there is none.

        From then on it cannot be restored. What registered versions show of it stays.
        """
        ...

    def sweep(self, limit: int) -> int:
        """Delete up to ``limit`` rows of what was taken out of reach; 0 when none is left."""
        ...


class GarbageRepository(Protocol):
    """Files, blocks and objects that nothing refers to."""

    def find_loose_files(self, after: int, limit: int) -> IdPage:
        """Files that no entry has, among the next ``limit``."""
        ...

    def delete_files(self, file_ids: Sequence[int], limit: int) -> tuple[int, list[int]]:
        """Delete those that no entry has, up to ``limit`` rows: how many, and what is left for the next call."""
        ...

    def find_loose_blocks(self, after: int, limit: int, *, before_ms: int) -> IdPage:
        """Blocks that nothing refers to and nobody touched after ``before_ms``, among the next ``limit``."""
        ...

    def delete_blocks(self, block_ids: Sequence[int], *, before_ms: int) -> tuple[int, int]:
        """Delete those that are still so; how many, and their bytes. Objects without blocks are then to be deleted."""
        ...

    def forget_uploads(self, after: int, limit: int, *, before_ms: int) -> int | None:
        """Forget who sent blocks before a time, among those of the next ``limit`` rows; the last block of them.

        From then on a block that nothing refers to that its sender may read is missing to it.
        """
        ...

    def find_empty_objects(self, after: int, limit: int) -> IdPage:
        """Objects in which no block is and that are not to be deleted yet, among the next ``limit``."""
        ...

    def condemn_empty(self, object_ids: Sequence[int], *, from_ms: int) -> None:
        """Have objects in which no block is deleted from a time on."""
        ...

    def list_condemned(self, after: int, limit: int) -> list[ObjectRow]:
        """Objects that may be removed from the store now."""
        ...

    def forget_objects(self, object_ids: Sequence[int]) -> None:
        """Delete the rows of objects that were removed from the store."""
        ...

    def find_unknown(self, keys: Sequence[str]) -> list[str]:
        """Those of some keys that no object has."""
        ...

    def find_sparse_packs(self, after: int, limit: int) -> tuple[list[ObjectRow], int | None]:
        """Packs of which less than half is in use, among the next ``limit`` objects."""
        ...

    def list_blocks_in(self, object_id: int) -> list[BlockRow]:
        """All blocks in an object, in order of their offsets."""
        ...

    def move_blocks(self, moves: Sequence[tuple[BlockRow, Extent]], *, kept_until_ms: int) -> list[Extent]:
        """Point blocks that are where they were at their new places; returns places that are not needed.

        Objects that are empty then are to be deleted from ``kept_until_ms`` on.
        """
        ...


class CheckRepository(Protocol):
    """What a check of the store reads and repairs."""

    def find_objects(self, keys: Sequence[str]) -> dict[str, tuple[ObjectRow, bool]]:
        """The rows of some keys, and whether blocks are in them."""
        ...

    def list_objects(self, after: int, limit: int) -> list[ObjectRow]:
        """Objects in which blocks are, in order of ids."""
        ...

    def list_blocks(self, after: tuple[int, int], limit: int) -> list[BlockRow]:
        """Present blocks in order of (object, id), after a place."""
        ...

    def locate(self, block_id: int) -> BlockRow | None:
        """Where a present block is now."""
        ...

    def affected(self, block_id: int, limit: int) -> list[Place]:
        """Files that need a block, in snapshots that can be read, or that are being written."""
        ...

    def mark_lost(self, block: BlockRow) -> bool:
        """Count a block as missing from now on if it is still where it was, so that it is written anew."""
        ...

    def mark_found(self, block: BlockRow) -> bool:
        """Take ``mark_lost`` back for a block that is still where it was."""
        ...

    def find_inconsistencies(self, limit: int) -> list[Finding]:
        """Rows that contradict each other; it takes as long as there is much."""
        ...

    def list_lost(self, after: int, limit: int) -> list[BlockRow]:
        """Blocks that were marked as lost and that something refers to."""
        ...

    def count_unreferenced(self) -> tuple[int, int]:
        """Blocks that nothing refers to, and their bytes."""
        ...

    def totals(self) -> tuple[int, int]:
        """Blocks and their bytes."""
        ...


class UsageRepository(Protocol):
    """What takes how much space."""

    def list_unmeasured(self, after: int, limit: int) -> list[int]:
        """Trees after one that changed since they were measured, in order of ids."""
        ...

    def measure(self, tree_id: int) -> tuple[int, int, int]:
        """Sequence, files and bytes of the newest snapshot of a tree."""
        ...

    def keep_measure(self, tree_id: int, measure: tuple[int, int, int]) -> None:
        """Keep what ``measure`` found."""
        ...

    def totals(self, *, before_ms: int, now_ms: int) -> StorageUsage:
        """All sums; garbage is told apart by whether it was last needed before ``before_ms``."""
        ...

    def largest(self, group: str, limit: int) -> list[OwnerUsage]:
        """The largest ``"experiments"``, ``"runs"`` or ``"models"`` by bytes."""
        ...


class UpkeepRepository(Protocol):
    """All of these."""

    @property
    def leases(self) -> LeaseRepository:
        """Who does what."""
        ...

    @property
    def history(self) -> HistoryRepository:
        """Old snapshots."""
        ...

    @property
    def purge(self) -> PurgeRepository:
        """Deleted runs and models."""
        ...

    @property
    def garbage(self) -> GarbageRepository:
        """What is unused."""
        ...

    @property
    def checks(self) -> CheckRepository:
        """What is broken."""
        ...

    @property
    def usage(self) -> UsageRepository:
        """What takes space."""
        ...

    def forecast(self, *, before_ms: int, purge_before_ms: int | None) -> tuple[int, int, int, int]:
        """What a collection would delete: entries, files, blocks and their bytes. It takes as long as there is much.

        For reads only.
        """
        ...
