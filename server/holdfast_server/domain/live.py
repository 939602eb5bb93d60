"""Values of live artifacts: files that are still being written."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from holdfast_server.domain.artifacts import MAX_FILE_SIZE, Extent, Owner
from holdfast_server.errors import InvalidArgument, Reason

MAX_APPEND = 1 << 20
# Bytes at the end of a file that stay in the database. A log that is flushed twice a second would otherwise leave an
# object in the store for each flush, which nothing needs any more as soon as its block is full.
MAX_TAIL = 64 << 10
MAX_OPEN = 1_000


class LiveState(enum.IntEnum):
    """What became of a live artifact."""

    OPEN = 0
    CLOSED = 1
    REPLACED = 2


class OpenMode(enum.Enum):
    """What to do with what stands at the path."""

    CREATE = enum.auto()
    APPEND = enum.auto()
    EXCLUSIVE = enum.auto()


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file that is being written, or was until lately.

    Attributes:
        number: A short name for the rows that hang on it.
        size: Bytes that are durable.
        in_blocks: How many of them, from the first on, are in blocks of the store.
        full: How many are in blocks of full size, one piece each.
        update_time: The writer's last sign of life, milliseconds since 1970.
        digest: Of the file, when closed.
        sequence: Of the commit that closed it; 0 until then.
    """

    number: int
    id: str
    owner: Owner
    path: str
    writer: str
    state: LiveState
    executable: bool
    size: int
    in_blocks: int
    full: int
    open_time: int
    update_time: int
    digest: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Append:
    """Bytes that a writer adds, checked at construction.

    Raises:
        InvalidArgument: They are too many, or would make the file too large.
    """

    live_id: str
    writer: str
    offset: int
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) > MAX_APPEND:
            raise InvalidArgument(
                f"An append has at most {MAX_APPEND} bytes, not {len(self.data)}; send several.",
                reason=Reason.LIMIT_EXCEEDED,
                field="data",
            )
        if not 0 <= self.offset <= MAX_FILE_SIZE - len(self.data):
            raise InvalidArgument(
                f"A file has at most {MAX_FILE_SIZE} bytes, and an offset is not negative.",
                reason=Reason.LIMIT_EXCEEDED,
                field="offset",
            )

    def from_offset(self, offset: int) -> Append:
        """What is left of it from an offset within it on."""
        return replace(self, offset=offset, data=self.data[offset - self.offset :])


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file that is read at once: a block in the store, or bytes that came from the database themselves."""

    offset: int
    length: int
    digest: bytes
    place: Extent | bytes

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        return self.offset + self.length
