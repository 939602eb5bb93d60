"""Rows of live artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from holdfast.format.digests import BLOCK_SIZE
from holdfast_server.domain.artifacts import Extent, Owner
from holdfast_server.domain.live import LiveFile, LiveState, Piece
from holdfast_server.services.ports.database import Ids
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection

# Bytes of a row of a tail. Appending rewrites the last row, so it should be short; and rows should be few.
TAIL_ROW = 8 << 10

_SELECT = "SELECT l.*, t.owner FROM live_files l JOIN trees t USING (tree_id)"


class SqlLiveFiles:
    """Implements ``LiveRepository``."""

    def __init__(self, connection: Connection, now_ms: int, ids: Ids) -> None:
        self._connection, self._now_ms, self._ids = connection, now_ms, ids

    def get(self, live_id: str) -> LiveFile | None:
        """One, open or remembered."""
        row = self._connection.execute(f"{_SELECT} WHERE live_id = ?", (live_id,)).fetchone()
        return _live_file(row) if row else None

    def get_open(self, owner: Owner, path: str) -> LiveFile | None:
        """The open one at a path."""
        row = self._connection.execute(
            f"{_SELECT} WHERE owner = ? AND path = ? AND state = 0", (owner.id, path)
        ).fetchone()
        return _live_file(row) if row else None

    def list_open(self, owner: Owner) -> list[LiveFile]:
        """All that are open in a tree, in order of the paths' UTF-8 bytes."""
        rows = self._connection.execute(f"{_SELECT} WHERE owner = ? AND state = 0 ORDER BY path", (owner.id,))
        return [_live_file(row) for row in rows]

    def list_idle(self, before_ms: int, after: int, limit: int) -> list[LiveFile]:
        """Open ones without a sign of life since ``before_ms`` and with numbers above ``after``, by number."""
        rows = self._connection.execute(
            f"{_SELECT} WHERE state = 0 AND update_time < ? AND live_no > ? ORDER BY live_no LIMIT ?",
            (before_ms, after, limit),
        )
        return [_live_file(row) for row in rows]

    def sizes(self, numbers: Sequence[int]) -> dict[int, int]:
        """Sizes of those of ``numbers`` that are open."""
        found: dict[int, int] = {}
        for part in chunks(numbers):
            rows = self._connection.execute(
                f"SELECT live_no, size FROM live_files WHERE state = 0 AND live_no IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            found.update((row["live_no"], row["size"]) for row in rows)
        return found

    def create(self, owner: Owner, path: str, *, writer: str, executable: bool) -> LiveFile:
        """Add an open and empty one."""
        live_id = self._ids.new_id()
        self._connection.execute(
            # As with a commit: an owner that was purged and whose id comes again keeps what it is given now.
            "INSERT INTO trees (owner) VALUES (?) ON CONFLICT (owner) DO UPDATE SET purged = 0 WHERE purged = 1",
            (owner.id,),
        )
        self._connection.execute(
            "INSERT INTO live_files (live_id, tree_id, path, writer, executable, open_time, update_time)"
            " SELECT ?, tree_id, ?, ?, ?, ?, ? FROM trees WHERE owner = ?",
            (live_id, path, writer, executable, self._now_ms, self._now_ms, owner.id),
        )
        return self._known(live_id)

    def take_over(self, live: LiveFile, writer: str) -> LiveFile:
        """Let another writer append."""
        self._connection.execute(
            "UPDATE live_files SET writer = ?, update_time = ? WHERE live_no = ?", (writer, self._now_ms, live.number)
        )
        return self._known(live.id)

    def replace(self, live: LiveFile) -> None:
        """End one whose path is begun anew: its bytes are given up."""
        self._delete_pieces(live)
        self._connection.execute(
            "UPDATE live_files SET state = ?, update_time = ? WHERE live_no = ?",
            (LiveState.REPLACED.value, self._now_ms, live.number),
        )

    def renew(self, live: LiveFile) -> None:
        """Note a sign of life."""
        self._connection.execute("UPDATE live_files SET update_time = ? WHERE live_no = ?", (self._now_ms, live.number))

    def append_tail(self, live: LiveFile, data: bytes) -> None:
        """Add bytes at the end that stay in the database for now."""
        last = self._connection.execute(
            'SELECT "offset", data, digest FROM live_tails WHERE live_no = ? ORDER BY "offset" DESC LIMIT 1',
            (live.number,),
        ).fetchone()
        offset = live.size
        # A row that does not have its digest is left alone: what is read from it must stay an error.
        if last and len(last["data"]) + len(data) <= TAIL_ROW and _is_sound(last):
            offset, data = last["offset"], bytes(last["data"]) + data
        self._connection.execute(
            'INSERT INTO live_tails (live_no, "offset", data, digest) VALUES (?, ?, ?, ?)'
            ' ON CONFLICT (live_no, "offset") DO UPDATE SET data = excluded.data, digest = excluded.digest',
            (live.number, offset, data, hashlib.sha256(data).digest()),
        )
        self._set_size(live, offset + len(data), live.in_blocks)

    def add_blocks(self, live: LiveFile, digests: Sequence[tuple[bytes, int]]) -> None:
        """Put present blocks (digest, length) in the place of the tail's bytes, and go on behind those."""
        self._connection.execute("DELETE FROM live_tails WHERE live_no = ?", (live.number,))
        offset = live.in_blocks
        for digest, length in digests:
            self._add_segment(live, offset, length, digest)
            offset += length
        self._set_size(live, offset, offset)

    def merge(self, live: LiveFile, digest: bytes) -> None:
        """Put one present block of full size in the place of all pieces from ``live.full`` on to its end."""
        self._connection.execute(
            'DELETE FROM live_segments WHERE live_no = ? AND "offset" >= ? AND "offset" < ?',
            (live.number, live.full, live.full + BLOCK_SIZE),
        )
        self._add_segment(live, live.full, BLOCK_SIZE, digest)
        self._set_size(live, live.size, live.in_blocks)

    def list_pieces(self, live: LiveFile, start: int, limit: int) -> list[Piece]:
        """Up to ``limit`` pieces of an open or closed one, in order, from the one that holds byte ``start`` on."""
        # A piece that holds a byte begins at most a block before it.
        rows = self._connection.execute(
            'SELECT s."offset" AS start, s.length, b.digest, o.object_key, b."offset" FROM live_segments s'
            " JOIN blocks b ON b.block_id = s.block_id JOIN objects o ON o.object_id = b.object_id"
            ' WHERE s.live_no = ? AND s."offset" > ? AND s."offset" + s.length > ? ORDER BY s."offset" LIMIT ?',
            (live.number, start - BLOCK_SIZE, start, limit),
        )
        pieces = [
            Piece(r["start"], r["length"], bytes(r["digest"]), Extent(r["object_key"], r["offset"], r["length"]))
            for r in rows
        ]
        if len(pieces) < limit:
            rows = self._connection.execute(
                'SELECT "offset", data, digest FROM live_tails'
                ' WHERE live_no = ? AND "offset" + length(data) > ? ORDER BY "offset" LIMIT ?',
                (live.number, start, limit - len(pieces)),
            )
            pieces.extend(Piece(r["offset"], len(r["data"]), bytes(r["digest"]), bytes(r["data"])) for r in rows)
        return pieces

    def full_digests(self, live: LiveFile) -> list[bytes]:
        """Digests of its blocks of full size, in order."""
        rows = self._connection.execute(
            "SELECT b.digest FROM live_segments s JOIN blocks b USING (block_id)"
            ' WHERE live_no = ? AND s."offset" < ? ORDER BY s."offset"',
            (live.number, live.full),
        )
        return [bytes(row["digest"]) for row in rows]

    def close(self, live: LiveFile, digest: bytes, sequence: int) -> None:
        """Note that it became a file of its tree; its pieces stay for those who are about to read the last of them."""
        self._connection.execute(
            "UPDATE live_files SET state = ?, digest = ?, sequence = ?, update_time = ? WHERE live_no = ?",
            (LiveState.CLOSED.value, digest, sequence, self._now_ms, live.number),
        )

    def delete(self, live: LiveFile) -> None:
        """Forget one, with its bytes."""
        self._connection.execute("DELETE FROM live_files WHERE live_no = ?", (live.number,))

    def delete_ended(self, before_ms: int, limit: int) -> int:
        """Forget closed and replaced ones that ended before ``before_ms``; returns how many."""
        cursor = self._connection.execute(
            "DELETE FROM live_files WHERE live_no IN"
            " (SELECT live_no FROM live_files WHERE state IN (1, 2) AND update_time < ? LIMIT ?)",
            (before_ms, limit),
        )
        return int(cursor.rowcount)

    def _known(self, live_id: str) -> LiveFile:
        live = self.get(live_id)
        assert live is not None
        return live

    def _delete_pieces(self, live: LiveFile) -> None:
        self._connection.execute("DELETE FROM live_segments WHERE live_no = ?", (live.number,))
        self._connection.execute("DELETE FROM live_tails WHERE live_no = ?", (live.number,))

    def _add_segment(self, live: LiveFile, offset: int, length: int, digest: bytes) -> None:
        self._connection.execute(
            'INSERT INTO live_segments (live_no, "offset", length, block_id)'
            " VALUES (?, ?, ?, (SELECT block_id FROM blocks WHERE digest = ? AND state = 0))",
            (live.number, offset, length, digest),
        )

    def _set_size(self, live: LiveFile, size: int, in_blocks: int) -> None:
        """Keep the sizes, and how far full blocks reach: to the first multiple behind which pieces are not yet one."""
        full = live.full
        while full + BLOCK_SIZE <= in_blocks and self._is_full(live, full):
            full += BLOCK_SIZE
        self._connection.execute(
            "UPDATE live_files SET size = ?, in_blocks = ?, full = ?, update_time = ? WHERE live_no = ?",
            (size, in_blocks, full, self._now_ms, live.number),
        )

    def _is_full(self, live: LiveFile, offset: int) -> bool:
        row = self._connection.execute(
            'SELECT 1 FROM live_segments WHERE live_no = ? AND "offset" = ? AND length = ?',
            (live.number, offset, BLOCK_SIZE),
        ).fetchone()
        return row is not None


def _is_sound(row: Any) -> bool:
    return hashlib.sha256(row["data"]).digest() == bytes(row["digest"])


def _live_file(row: Any) -> LiveFile:
    return LiveFile(
        number=row["live_no"],
        id=row["live_id"],
        owner=Owner.parse(row["owner"]),
        path=row["path"],
        writer=row["writer"],
        state=LiveState(row["state"]),
        executable=bool(row["executable"]),
        size=row["size"],
        in_blocks=row["in_blocks"],
        full=row["full"],
        open_time=row["open_time"],
        update_time=row["update_time"],
        digest=bytes(row["digest"] or b""),
        sequence=row["sequence"] or 0,
    )
