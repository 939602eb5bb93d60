"""Use cases of following a file: finding it, reading what is there, waiting for more."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor

from holdfast_server.domain.artifacts import Extent, Kind
from holdfast_server.domain.live import LiveState, Piece
from holdfast_server.domain.names import shown
from holdfast_server.errors import DataLoss, NotFound
from holdfast_server.services.artifact_uris import place_of, resolve
from holdfast_server.services.live_pieces import Source, first_batch, get_live, list_pieces, read_pieces
from holdfast_server.services.live_watch import LiveWatch
from holdfast_server.services.owners import check_writable, expired, snapshot
from holdfast_server.services.ports.artifacts import BlockStore
from holdfast_server.services.ports.database import Database, Transaction

CHUNK = 1 << 20


class TailService:
    """What a reader of a growing file needs. Blocking work goes to ``executor``."""

    def __init__(self, database: Database, store: BlockStore, executor: Executor, watch: LiveWatch) -> None:
        self._database, self._store, self._executor, self._watch = database, store, executor, watch

    async def find(self, uri: str) -> Source:
        """The file that a URI names: one that is being written there comes before an entry.

        Raises:
            InvalidArgument: It is no artifact URI.
            NotFound: Nothing is there, or a directory.
        """
        return await self._database.read(lambda tx: _find(tx, uri))

    async def get(self, live_id: str) -> Source:
        """A live artifact, open or remembered.

        Raises:
            NotFound: LIVE_ARTIFACT_NOT_FOUND.
        """
        return await self._database.read(lambda tx: Source(get_live(tx, live_id), None))

    async def look(self, source: Source, offset: int) -> tuple[Source, list[Piece]]:
        """The file as it is now, and a few of its pieces from the one at ``offset`` on.

        Read them before the next look: pieces are joined while a file grows, and those seen long ago may be gone.

        Raises:
            FailedPrecondition: SNAPSHOT_EXPIRED, the file of a snapshot is gone.
        """

        def read(tx: Transaction) -> tuple[Source, list[Piece]]:
            now = Source(get_live(tx, source.live.id), None) if source.live is not None else source
            pieces = list_pieces(tx, now, offset)
            if not pieces and offset < now.size and now.state is not LiveState.REPLACED:
                raise expired("The file")
            return now, first_batch(pieces)

        return await self._database.read(read)

    async def read(self, source: Source, pieces: Sequence[Piece], offset: int) -> list[tuple[bytes, bytes]] | None:
        """The bytes of pieces from ``offset`` on, in chunks, each with its digest before it.

        None when one of them is elsewhere since the look, moved by compaction, stored anew, or joined with others.

        Raises:
            DataLoss: One is damaged where it is now.
            Unavailable: The store cannot be reached.
        """

        def read() -> list[tuple[bytes, bytes]]:
            data = memoryview(b"".join(read_pieces(self._store, pieces)))[offset - pieces[0].offset :]
            chunks = [bytes(data[start : start + CHUNK]) for start in range(0, len(data), CHUNK)]
            return [(hashlib.sha256(chunk).digest(), chunk) for chunk in chunks]

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, read)
        except DataLoss:
            _, now = await self.look(source, offset)
            if all(piece in now for piece in pieces if isinstance(piece.place, Extent)):
                raise
            return None

    async def wait(self, source: Source, timeout: float) -> bool:
        """Return when an open file is not as in ``source`` any more; False after ``timeout`` seconds.

        Raises:
            FailedPrecondition: After the time, DELETED: nothing will be appended.
            Unavailable: The server is stopping.
        """
        live = source.live
        assert live is not None
        assert live.state is LiveState.OPEN
        if await self._watch.wait(live.number, live.size, timeout):
            return True
        await self._database.read(lambda tx: check_writable(tx, live.owner))
        return False


def _find(tx: Transaction, uri: str) -> Source:
    place = place_of(uri)
    if place is not None:
        owner, path = place
        snapshot(tx, owner, None)  # refuses an owner that is not there
        live = tx.live.get_open(owner, path)
        if live is not None:
            return Source(live, None)
    locations = resolve(tx, uri)
    if len(locations) > 1 or locations[0].kind is not Kind.FILE:
        raise NotFound(f"{shown(uri)} is a directory, not a file; list it instead.")
    location = locations[0]
    return Source(None, tx.trees.get_entry(location.owner, location.sequence, location.path))
