"""What the store holds, and what looking after it did and found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedGarbage:
    """What ``Client.collect_garbage`` deleted; of a dry run, what it would delete.

    Attributes:
        phase: What it was doing: ``"PURGING"``, ``"PRUNING"``, ``"FILES"``, ``"BLOCKS"``, ``"COMPACTING"``,
            ``"OBJECTS"``, ``"ORPHANS"`` or, at the end, ``"DONE"``.
        purged_runs: Deleted runs that are gone for good.
        purged_models: The same for logged models.
        pruned_entries: Replaced and removed versions of files and directories.
        files: Contents that no file had any more.
        blocks: Blocks that nothing referred to any more.
        block_bytes: Bytes of these.
        objects: Objects removed from the store, orphans included; a dry run does not foresee them.
        object_bytes: Bytes of these.
        orphans: Objects and half-written files that servers left when they died.
        compacted_packs: Packs that were rewritten, because less than half of their bytes was used.
        moved_bytes: Bytes of blocks that were moved for that.
        failures: Objects that could not be read or removed; the next collection tries again.
    """

    phase: str = "DONE"
    purged_runs: int = 0
    purged_models: int = 0
    pruned_entries: int = 0
    files: int = 0
    blocks: int = 0
    block_bytes: int = 0
    objects: int = 0
    object_bytes: int = 0
    orphans: int = 0
    compacted_packs: int = 0
    moved_bytes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFinding:
    """Something that ``Client.check_storage`` found.

    Attributes:
        kind: ``"MISSING"``, ``"TRUNCATED"``, ``"CORRUPT"``, ``"UNREADABLE"`` or ``"LOST"`` blocks, ``"DANGLING"`` rows,
            a damaged ``"DATABASE"``; or, which is only space, ``"ORPHANED"`` objects and ``"UNREFERENCED"`` blocks.
        is_problem: Whether something cannot be read, or rows contradict each other.
        message: What is wrong, and the way out.
        digest: Of the block or content, 64 hex digits; empty when none is concerned.
        object_key: Of the object in the store; empty when none is concerned.
        size: Bytes concerned.
        affected: URIs of some files that cannot be read because of it, ten at most.
        repaired: What could be done was done.
    """

    kind: str
    is_problem: bool
    message: str
    digest: str = ""
    object_key: str = ""
    size: int = 0
    affected: tuple[str, ...] = ()
    repaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCheck:
    """How much ``Client.check_storage`` looked at, and what it found.

    Attributes:
        objects: Objects that the store has.
        blocks: Blocks that the database has.
        block_bytes: Bytes of these.
        read_bytes: Bytes that a deep check read.
        problems: Findings that are problems.
        repaired: Findings that were repaired.
        findings: All of them; empty when a callback took them.
    """

    objects: int = 0
    blocks: int = 0
    block_bytes: int = 0
    read_bytes: int = 0
    problems: int = 0
    repaired: int = 0
    findings: tuple[StorageFinding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerUsage:
    """What the newest artifacts of an experiment, run or logged model take, shared bytes counted in full."""

    id: str
    name: str
    file_count: int
    total_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageUsage:
    """What takes how much space.

    Attributes:
        file_count: Files that all runs and logged models show now.
        logical_bytes: Bytes of these, each counted as often as it is there.
        block_count: Different blocks.
        block_bytes: Bytes of these; older snapshots and garbage are in it.
        object_count: Objects in the store.
        stored_bytes: Bytes of these; unused parts of packs are in it.
        reclaimable_bytes: Bytes of blocks that a collection would free now.
        in_grace_bytes: Bytes of blocks that a collection will free when their day of grace is over.
        replaced_bytes: Bytes of objects that hold nothing any more and are about to be removed.
        largest: The largest experiments, runs or models.
    """

    file_count: int
    logical_bytes: int
    block_count: int
    block_bytes: int
    object_count: int
    stored_bytes: int
    reclaimable_bytes: int
    in_grace_bytes: int
    replaced_bytes: int
    largest: tuple[OwnerUsage, ...] = ()

    @property
    def saved_bytes(self) -> int:
        """What storing equal blocks once saves, at least: older snapshots and garbage count against it."""
        return max(0, self.logical_bytes - self.block_bytes)
