"""Values of the artifact plane."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.format.digests import BLOCK_SIZE, DIGEST_SIZE, EMPTY_DIGEST, block_count, file_digest
from holdfast_server.domain.names import named_model, named_run, shown
from holdfast_server.domain.paths import check_path
from holdfast_server.errors import InvalidArgument, Reason

MAX_INLINE = 64 << 10
MAX_FILE_SIZE = 1 << 42  # its list of blocks passes through memory


class Kind(enum.IntEnum):
    """What stands at a path. ABSENT marks a removal in the history of a tree and is never shown."""

    ABSENT = 0
    FILE = 1
    DIRECTORY = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """A run or a logged model; each owns one tree."""

    id: str
    is_model: bool

    @classmethod
    def run(cls, run_id: str) -> Owner:
        """The run of this id; raises ``NotFound`` for what is no id."""
        return cls(named_run(run_id), is_model=False)

    @classmethod
    def model(cls, model_id: str) -> Owner:
        """The logged model of this id; raises ``NotFound`` for what is no id."""
        return cls(named_model(model_id), is_model=True)

    @classmethod
    def parse(cls, owner_id: str) -> Owner:
        """The owner of a stored id."""
        return cls.model(owner_id) if owner_id.startswith("m-") else cls.run(owner_id)

    def __str__(self) -> str:
        return f"{'model' if self.is_model else 'run'} {self.id}"


class Extent(NamedTuple):
    """Where a block's bytes are: a part of an object of the store."""

    object_key: str
    offset: int
    length: int


class NewBlock(NamedTuple):
    """A block to be stored: its digest and its bytes in pieces, as they came from the network.

    ``computed``: the digest was made of these very bytes by this process. Otherwise somebody claims it.
    """

    digest: bytes
    parts: tuple[bytes | memoryview, ...]
    size: int
    computed: bool = False


def digest_of(parts: Iterable[bytes | memoryview]) -> bytes:
    """SHA-256 of the concatenated parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def has_digest(block: NewBlock) -> bool:
    """Whether the block's bytes have the digest that it claims."""
    return block.computed or digest_of(block.parts) == block.digest


class FileBlock(NamedTuple):
    """A block of a file, with its place in the store."""

    position: int
    digest: bytes
    extent: Extent


class Entry(NamedTuple):
    """A file or directory of a snapshot. ``file_id`` leads to its blocks; 0 for directories and empty files."""

    path: str
    kind: Kind
    executable: bool
    size: int
    digest: bytes
    sequence: int
    commit_time_ms: int
    file_id: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind is Kind.DIRECTORY


@dataclass(slots=True)  # not frozen, which would triple the time to make one; a commit may have a million
class NewEntry:
    """A file or directory to commit, checked at construction; nobody changes it.

    Raises:
        InvalidArgument: The path breaks a rule, or size, blocks and digest do not agree.
    """

    path: str
    kind: Kind
    executable: bool = False
    size: int = 0
    block_digests: tuple[bytes, ...] = ()
    digest: bytes = b""
    expected_digest: bytes | None = None
    expected_absent: bool = False
    # The digest of the file's content.
    file_digest: bytes = field(init=False, default=EMPTY_DIGEST)

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.kind is Kind.DIRECTORY:
            if self.size or self.block_digests or self.digest or self.executable:
                raise self._bad("a directory has neither size, blocks, digest nor executable bit")
            return
        blocks = self.block_digests
        is_one = len(blocks) == 1 and 0 < self.size <= BLOCK_SIZE and len(blocks[0]) == DIGEST_SIZE
        if is_one and self.digest in {b"", blocks[0]}:
            self.file_digest = blocks[0]  # as nearly all are, and all the rules hold
            return
        if not 0 <= self.size <= MAX_FILE_SIZE:
            raise self._bad(f"a size is between 0 and {MAX_FILE_SIZE} bytes")
        for digest in self.block_digests:
            if len(digest) != DIGEST_SIZE:
                raise self._bad(f"a block digest has {DIGEST_SIZE} bytes")
        self.file_digest = file_digest(self.block_digests)
        if len(self.block_digests) != block_count(self.size):
            raise self._bad(
                f"a file of {self.size} bytes has {block_count(self.size)} blocks of up to {BLOCK_SIZE} bytes, "
                f"not {len(self.block_digests)}"
            )
        if self.digest and self.digest != self.file_digest:
            raise self._bad("its digest is not that of its blocks; if they changed on the way, send them again")

    @property
    def identity(self) -> bytes:
        """Equal for entries that ask for the same thing, and for no others."""
        expected = b"-" if self.expected_digest is None else self.expected_digest.hex().encode()
        numbers = (self.kind, self.executable, self.expected_absent, self.size)
        # No path has a NUL, and all that follows has a fixed length or a space at its end.
        return b"%b\0%d%d%d%d %b %b" % (self.path.encode(), *numbers, expected, self.file_digest)

    def _bad(self, rule: str) -> InvalidArgument:
        return InvalidArgument(
            f"Entry {shown(self.path)}: {rule}.", reason=Reason.CONTENT_MISMATCH, metadata={"path": self.path}
        )


@dataclass(frozen=True, slots=True)
class Tree:
    """A snapshot of an owner's artifacts. ``digest`` is empty, count and size 0, when they were not asked for."""

    owner: Owner
    sequence: int
    digest: bytes = b""
    file_count: int = 0
    total_size: int = 0
