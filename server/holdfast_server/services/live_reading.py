"""Reads what is there of files that are being written, for the sake of those who write them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from holdfast_server.domain.artifacts import NewBlock
from holdfast_server.domain.live import LiveFile, LiveState, Piece
from holdfast_server.domain.names import shown
from holdfast_server.errors import FailedPrecondition, Reason
from holdfast_server.services.live_pieces import get_live, read_or_look_again, read_pieces
from holdfast_server.services.ports.artifacts import BlockStore
from holdfast_server.services.ports.database import Database, Transaction

T = TypeVar("T")


class OpenFileReader:
    """Reads ranges of open files; whole pieces are in memory only as long as a thread works on them.

    Methods raise FailedPrecondition, NOT_OPEN, when the file is not open any more.
    """

    def __init__(
        self, database: Database, store: BlockStore, in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    ) -> None:
        self._database, self._store, self._in_thread = database, store, in_thread

    async def join(self, live: LiveFile, end: int) -> NewBlock:
        """The block from the last full one to before ``end``."""

        def join(pieces: Sequence[Piece]) -> NewBlock:
            parts = tuple(read_pieces(self._store, pieces))
            digest = hashlib.sha256()
            for part in parts:
                digest.update(part)
            return NewBlock(digest.digest(), parts, sum(map(len, parts)))

        return await self._with_pieces(live, live.full, end, join)

    async def read(self, live: LiveFile, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``."""

        def cut(pieces: Sequence[Piece]) -> bytes:
            data = b"".join(read_pieces(self._store, pieces))
            return data[start - pieces[0].offset : end - pieces[0].offset]

        return await self._with_pieces(live, start, end, cut)

    async def _with_pieces(self, live: LiveFile, start: int, end: int, work: Callable[[Sequence[Piece]], T]) -> T:
        """Do in a thread what needs the pieces that hold a range."""

        async def look() -> Sequence[Piece]:
            return await self._database.read(lambda tx: _list_pieces(tx, live.id, start, end))

        async def read(pieces: Sequence[Piece]) -> T:
            result: T = await self._in_thread(lambda: work(pieces))
            return result

        return await read_or_look_again(await look(), read, look)


def not_open(live: LiveFile) -> FailedPrecondition:
    """The error for one that cannot be appended to any more."""
    what = "was closed" if live.state is LiveState.CLOSED else "was begun anew by another writer"
    return FailedPrecondition(
        f"{shown(live.path)} {what} and cannot be appended to. Open it again, with mode 'a' to go on where it ends.",
        reason=Reason.NOT_OPEN,
        metadata={"live_id": live.id},
    )


def _list_pieces(tx: Transaction, live_id: str, start: int, end: int) -> list[Piece]:
    """All pieces of an open file that hold a range."""
    live = get_live(tx, live_id)
    if live.state is not LiveState.OPEN:
        raise not_open(live)
    found: list[Piece] = []
    at = start
    while at < end:
        found.extend(tx.live.list_pieces(live, at, 256))
        at = found[-1].end
    return [piece for piece in found if piece.offset < end]
