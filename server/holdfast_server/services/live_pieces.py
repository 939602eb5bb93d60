"""Reads the pieces of a file, be it open, closed or of a snapshot, each verified."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from holdfast.format.digests import BLOCK_SIZE, block_count
from holdfast_server.domain.artifacts import Entry, Extent
from holdfast_server.domain.live import LiveFile, LiveState, Piece
from holdfast_server.domain.names import shown
from holdfast_server.errors import DataLoss, NotFound, Reason
from holdfast_server.services.ports.artifacts import BlockStore
from holdfast_server.services.ports.database import Transaction

T = TypeVar("T")

# Pieces of one look at the database, and bytes that are read together.
PIECES = 64
BATCH = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it is now: a live one, or an entry of a snapshot."""

    live: LiveFile | None
    entry: Entry | None

    @property
    def state(self) -> LiveState:
        """What became of it; an entry counts as closed."""
        return self.live.state if self.live else LiveState.CLOSED

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.live.size if self.live else self.entry.size if self.entry else 0

    @property
    def digest(self) -> bytes:
        """Of the file, when it is closed."""
        return self.live.digest if self.live else self.entry.digest if self.entry else b""


def get_live(tx: Transaction, live_id: str) -> LiveFile:
    """Read one, open or remembered.

    Raises:
        NotFound: LIVE_ARTIFACT_NOT_FOUND.
    """
    live = tx.live.get(live_id)
    if live is None:
        raise NotFound(
            "There is no such live artifact, or it ended more than a day ago. Name the file by its URI.",
            reason=Reason.LIVE_ARTIFACT_NOT_FOUND,
        )
    return live


def blocks_to_go_on(tx: Transaction, entry: Entry) -> list[tuple[bytes, int]]:
    """Digests and lengths of the blocks of a file that is opened to append to it.

    Raises:
        DataLoss: One counts as missing, so that no file could be made of it and what is appended.
    """
    found = tx.trees.list_blocks_of([entry.file_id])[entry.file_id]
    missing = tx.blocks.find_missing([block.digest for block in found])
    if missing:
        raise DataLoss(
            f"Nothing can be appended to {shown(entry.path)}: its block {missing[0].hex()} is lost. Log the same "
            "content again, or begin the file anew with mode 'w'."
        )
    return [(block.digest, block.extent.length) for block in found]


def list_pieces(tx: Transaction, source: Source, start: int) -> list[Piece]:
    """Some pieces, in order, from the one that holds byte ``start`` on; none at the end, or when they are gone."""
    if start >= source.size or source.state is LiveState.REPLACED:
        return []
    if source.live is not None:
        return tx.live.list_pieces(source.live, start, PIECES)
    assert source.entry is not None
    first = start // BLOCK_SIZE
    blocks = tx.trees.list_blocks(source.entry.file_id, first, min(PIECES, block_count(source.size) - first))
    return [Piece(b.position * BLOCK_SIZE, b.extent.length, b.digest, b.extent) for b in blocks]


def first_batch(pieces: Sequence[Piece]) -> list[Piece]:
    """As many of the first pieces as have about ``BATCH`` bytes together; a larger one alone."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        size += piece.length
        if batch and size > BATCH:
            break
        batch.append(piece)
    return batch


async def read_or_look_again(
    pieces: Sequence[Piece],
    read: Callable[[Sequence[Piece]], Awaitable[T]],
    look: Callable[[], Awaitable[Sequence[Piece]]],
) -> T:
    """What ``read`` makes of ``pieces``, or of what ``look`` finds in their place when one of them is gone.

    Compaction moves pieces, appends join them, and an upload may have stored a lost one anew.

    Raises:
        DataLoss: One is gone or damaged where the database says that it is now.
    """
    while True:
        try:
            return await read(pieces)
        except DataLoss:
            found = await look()
            if list(found) == list(pieces):
                raise
            pieces = found


def read_pieces(store: BlockStore, pieces: Sequence[Piece]) -> list[bytes]:
    """The bytes of some pieces, in order. Blocks; call it from threads.

    Raises:
        DataLoss: One does not have its digest.
        Unavailable: The store cannot be reached.
    """
    in_store = [(piece.digest, piece.place) for piece in pieces if isinstance(piece.place, Extent)]
    found = iter(store.read(in_store) if in_store else [])
    return [next(found) if isinstance(piece.place, Extent) else kept_bytes(piece) for piece in pieces]


def kept_bytes(piece: Piece) -> bytes:
    """The bytes of a piece that is in the database itself.

    Raises:
        DataLoss: They do not have their digest.
    """
    data = piece.place
    assert isinstance(data, bytes)
    if hashlib.sha256(data).digest() != piece.digest:
        raise DataLoss(
            f"{piece.length} bytes at offset {piece.offset} of a live artifact are damaged in the database. Restore it "
            "from a backup, or write the artifact again."
        )
    return data
