"""Values of upkeep: what collecting garbage did, what a check of the store found, what takes how much space."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

HOUR_MS = 3_600_000
DEFAULT_GRACE_MS = 24 * HOUR_MS
# An object without a row may belong to an upload that is about to record it, so none younger than this is removed.
ORPHAN_AGE_MS = HOUR_MS
# Packs that were replaced stay this long for readers that looked a block up before.
REPLACED_KEPT_MS = HOUR_MS


class Phase(enum.Enum):
    """What a collection is doing."""

    PURGING = "purging"
    PRUNING = "pruning"
    FILES = "files"
    BLOCKS = "blocks"
    COMPACTING = "compacting"
    OBJECTS = "objects"
    ORPHANS = "orphans"
    DONE = "done"


@dataclass(slots=True)
class Collected:
    """What a collection removed, or a dry run would remove; it grows while the collection runs.

    Attributes:
        phase: What it is doing.
        purged_runs: Deleted runs that are gone for good.
        purged_models: The same for logged models.
        pruned_entries: Replaced or removed versions of files and directories.
        files: Contents that no file has any more.
        blocks: Blocks that nothing refers to any more.
        block_bytes: Bytes of these.
        objects: Objects removed from the store, orphans included.
        object_bytes: Bytes of these.
        orphans: Objects and temporary files without a row, left by servers that died.
        compacted_packs: Packs that were rewritten, because less than half of their bytes was in use.
        moved_bytes: Bytes of blocks that were moved to new packs.
        failures: Objects that could not be read or removed; the next collection tries again.
    """

    phase: Phase = Phase.PURGING
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


class FindingKind(enum.Enum):
    """What is wrong, or merely unused."""

    MISSING = "missing"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    LOST = "lost"
    DANGLING = "dangling"
    DATABASE = "database"
    ORPHANED = "orphaned"
    UNREFERENCED = "unreferenced"

    @property
    def is_problem(self) -> bool:
        """Whether something is lost or inconsistent. What is only unused is garbage, which gc removes."""
        return self not in (FindingKind.ORPHANED, FindingKind.UNREFERENCED)


@dataclass(frozen=True, slots=True)
class Place:
    """A file that needs a block: whose, and where."""

    owner: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a check found.

    Attributes:
        kind: What.
        message: The same for people, with the way out.
        digest: Of the block or file; empty when none is concerned.
        object_key: Of the object; empty when none is concerned.
        size: Bytes concerned.
        affected: Files that cannot be read because of it, some at most.
        repaired: What could be done was done.
    """

    kind: FindingKind
    message: str
    digest: bytes = b""
    object_key: str = ""
    size: int = 0
    affected: tuple[Place, ...] = ()
    repaired: bool = False


@dataclass(slots=True)
class Checked:
    """How far a check is, and at its end the summary."""

    objects: int = 0
    blocks: int = 0
    block_bytes: int = 0
    read_bytes: int = 0
    problems: int = 0
    repaired: int = 0
    counts: dict[FindingKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OwnerUsage:
    """What the newest snapshot of a run or model, or those of an experiment, shows."""

    id: str
    name: str
    file_count: int
    total_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageUsage:
    """What the store holds.

    Attributes:
        file_count: Files in the newest snapshots of all runs and logged models.
        logical_bytes: Bytes of these, each counted as often as it is there.
        block_count: Different blocks.
        block_bytes: Bytes of these.
        object_count: Objects of the store.
        stored_bytes: Bytes of these, dead bytes of packs and replaced packs included.
        reclaimable_bytes: Bytes of blocks that a collection would free now.
        in_grace_bytes: Bytes of blocks that a collection will free when their grace is over, if nothing uses them.
        replaced_bytes: Bytes of objects that are to be deleted.
        top: The largest experiments, runs or models.
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
    top: tuple[OwnerUsage, ...] = ()
