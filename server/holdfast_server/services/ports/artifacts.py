"""Blocks, the store of their bytes, and trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from holdfast_server.domain.access import Viewer
from holdfast_server.domain.artifacts import Entry, Extent, FileBlock, NewBlock, NewEntry, Owner, Tree

# Id and size of blocks, by their digests.
BlockIds = Mapping[bytes, tuple[int, int]]
NO_BLOCKS: BlockIds = MappingProxyType({})


class LargeSnapshot(Exception):  # noqa: N818 - nobody's error: the one who asked takes another way
    """Describing a snapshot would take longer than was allowed."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the store as a listing shows it."""

    key: str
    size: int
    modified_ms: int


class ObjectStore(Protocol):
    """Immutable objects by key. Methods block; call them from threads.

    Keys are unique per write and never reused, so that deleting one can never hit what another writer just stored.
    """

    def put(self, key: str, parts: Sequence[bytes | memoryview], sha256: bytes | None = None) -> None:
        """Store the concatenated parts, durable when this returns.

        ``sha256`` is the digest of the whole where it is known; a store may sign or check with it.

        Raises:
            Unavailable: The store cannot be reached or is full; nothing is promised.
        """
        ...

    def get(self, key: str, offset: int, length: int, *, patient: bool = True) -> bytes:
        """Read a part of an object; fewer bytes come back only when the object is shorter.

        Errors that may pass are waited for a second or two, unless ``patient`` is false.

        Raises:
            KeyError: There is no such object.
            Unavailable: The store cannot be reached.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is passed over."""
        ...

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose keys begin with ``prefix``."""
        ...

    def remove_unfinished(self, before_ms: int) -> int:
        """Remove what writers that were killed before a time left half-written; returns how many."""
        ...

    def check(self) -> None:
        """Make sure that the store can be used, creating its bucket or directory when absent.

        Raises:
            Unavailable: It cannot; the message says what to look at.
        """
        ...


class BlockStore(Protocol):
    """Blocks by digest. Methods block; call them from threads."""

    def write(self, blocks: Sequence[NewBlock]) -> list[Extent]:
        """Store blocks, durable when this returns, and tell where each is."""
        ...

    def read(self, blocks: Sequence[tuple[bytes, Extent]]) -> list[bytes]:
        """Read some blocks (digest, place), in order.

        Raises:
            DataLoss: One is gone or damaged.
            Unavailable: The store cannot be reached.
        """
        ...

    def discard(self, extents: Sequence[Extent]) -> None:
        """Remove objects just written whose rows lost a race; errors are passed over, gc finds the rest."""
        ...


class AddedBlocks(NamedTuple):
    """What became of blocks that were recorded.

    Attributes:
        lost: Places of objects that no block needs, as others were faster; they must be discarded.
        new: Those that had no row before, and so are in no file yet.
    """

    lost: Sequence[Extent] = ()
    new: BlockIds = NO_BLOCKS


class BlockIndex(Protocol):
    """Rows of blocks: which are present and where."""

    def find_missing(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of ``digests`` that are not present, in order, each once."""
        ...

    def find_stale(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those that are present and were not touched for a minute."""
        ...

    def count_repairs(self) -> int:
        """How often a present block was ever counted as missing. As long as it is the same, none was meanwhile."""
        ...

    def find_places(self, digests: Sequence[bytes]) -> dict[bytes, Extent]:
        """Where those of ``digests`` are that have a row, present or lost."""
        ...

    def touch(self, digests: Sequence[bytes]) -> None:
        """Extend the life of those that are present."""
        ...

    def add(self, blocks: Sequence[tuple[bytes, int, Extent]]) -> AddedBlocks:
        """Record stored blocks (digest, size, place)."""
        ...


class KnownBlocks(Protocol):
    """Blocks as somebody sees them who may not see everything.

    A block is present for a caller when it sent it lately, or when a file or live artifact has it that the caller may
    read. To everybody else it is missing, and when it comes again it is stored once all the same.
    """

    def find(self, digests: Sequence[bytes], viewer: Viewer) -> dict[bytes, tuple[int, int]]:
        """Block id and size of those that are present for a caller."""
        ...

    def find_stale(self, digests: Sequence[bytes], viewer: Viewer) -> list[bytes]:
        """Those of what a caller knows of that were not touched for a minute, or not by the caller, who sent it."""
        ...

    def touch(self, digests: Sequence[bytes], viewer: Viewer) -> None:
        """Remember for longer that a caller sent them, where it did."""
        ...

    def add_sent(self, digests: Sequence[bytes], viewer: Viewer) -> None:
        """Remember that a caller sent blocks that have rows."""
        ...


class TreeRepository(Protocol):
    """Artifact trees: commits staged, checked, and made visible at once."""

    def latest_sequence(self, owner: Owner) -> int:
        """Number of the newest visible commit; 0 when there is none."""
        ...

    def is_kept(self, owner: Owner, sequence: int) -> bool:
        """Whether a snapshot can still be read: it is not older than what is kept, or a model version pins it."""
        ...

    def is_pinned(self, owner: Owner, sequence: int) -> bool:
        """Whether a model version shows a snapshot."""
        ...

    def begin_commit(self, owner: Owner) -> int:
        """Start a commit that nobody sees; its id is returned."""
        ...

    def stage(
        self,
        commit_id: int,
        entries: Sequence[NewEntry],
        *,
        all_ancestors: bool,
        new_blocks: BlockIds = ...,
        viewer: Viewer | None = ...,
    ) -> list[bytes]:
        """Add entries, with the directories above them, to a commit. Returns digests of missing blocks.

        With ``all_ancestors`` directories are staged even where they exist, so that the commit stays right whatever
        happens before it is sealed; without, the caller seals in the same transaction. ``new_blocks`` are those that
        this very transaction added, which need not be looked up. With a ``viewer``, blocks that it does not know of are
        missing.

        Raises:
            InvalidArgument: A path comes twice in the commit.
            FailedPrecondition: PATH_CONFLICT within the commit; or the stage expired.
        """
        ...

    def stage_removals(self, commit_id: int, paths: Sequence[str]) -> None:
        """Add removals of files, or of directories with all below them, which takes as long as there are many.

        The single path "" stands for everything, also when there is nothing.

        Raises:
            NotFound: FILE_NOT_FOUND, a path is not there.
        """
        ...

    def check_conflicts(self, commit_id: int, since: int | None = None) -> int:
        """Compare a staged commit with its tree; returns the sequence that it was compared with.

        With ``since``, what this returned before, only later commits are looked at; it takes as long as they are large.

        Raises:
            FailedPrecondition: PATH_CONFLICT, a file would stand in the place of a directory or the reverse, or two
                siblings would be equal after normalization.
        """
        ...

    def find_lost(self, commit_id: int, limit: int) -> list[bytes]:
        """Digests of blocks of a staged commit that count as missing by now; takes as long as there are lost ones."""
        ...

    def seal(self, commit_id: int) -> Tree:
        """Make a staged commit visible under the next number of its tree."""
        ...

    def abandon(self, commit_id: int) -> bool:
        """Give up a staged commit, which then cannot be sealed; one that was sealed stays as it is.

        Its rows go in bounded steps, so that no transaction is long: one now, and True means that it was the last.
        Call again while it is False, in transactions of their own, or leave the rest to the database's maintenance.
        """
        ...

    def get_entries(self, owner: Owner, sequence: int, paths: Sequence[str]) -> list[Entry]:
        """What stands at some paths of a snapshot, in no order; absent ones are passed over."""
        ...

    def get_entry(self, owner: Owner, sequence: int, path: str) -> Entry | None:
        """What stands at a path of a snapshot."""
        ...

    def list_entries(
        self, owner: Owner, sequence: int, directory: str, *, recursive: bool, after: str, limit: int
    ) -> list[Entry]:
        """Entries below a directory (empty: the root) with paths after ``after``, in order of their UTF-8 bytes."""
        ...

    def describe(self, owner: Owner, sequence: int, *, most: int | None = None) -> Tree:
        """Digest, count and size of a snapshot; a pass over all its entries unless they were kept.

        Raises:
            LargeSnapshot: That would be a pass over more than ``most`` of them.
        """
        ...

    def digest_directory(self, owner: Owner, sequence: int, directory: str, *, most: int) -> bytes:
        """The digest of a directory of a snapshot as a tree of its own; empty of the root, or of over ``most``."""
        ...

    def keep_description(self, tree: Tree) -> None:
        """Keep what ``describe`` computed."""
        ...

    def list_blocks(self, file_id: int, first: int, limit: int) -> list[FileBlock]:
        """Blocks of a file from position ``first``."""
        ...

    def list_blocks_of(self, file_ids: Sequence[int]) -> dict[int, list[FileBlock]]:
        """All blocks of some small files."""
        ...
