"""Rows of files, blocks and objects that nothing refers to.

Finding is a pass over all rows, some thousand at a time on a reader; deleting looks again, in small transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.artifacts import Extent
from holdfast_server.services.ports.upkeep import BlockRow, IdPage, ObjectRow
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.pins import IS_PINNED

# Tables that keep blocks alive, each with an index on its ``block_id``. A block that none of them names is garbage.
REFERRING = ("file_blocks", "live_segments")


def unreferenced_by(table: str) -> str:
    """The condition that no row of a table names block ``b``."""
    return f"NOT EXISTS (SELECT 1 FROM {table} r WHERE r.block_id = b.block_id)"  # noqa: S608 - of constants


UNREFERENCED = " AND ".join(map(unreferenced_by, REFERRING))
_EMPTY = "NOT EXISTS (SELECT 1 FROM blocks b WHERE b.object_id = objects.object_id)"
# No digest, so that no commit finds a file whose blocks are being deleted.
_BEING_DELETED = "CAST('being deleted ' || file_id AS BLOB)"


class SqlGarbage:
    """Implements ``GarbageRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def find_loose_files(self, after: int, limit: int) -> IdPage:
        """Files that no entry has, among the next ``limit``."""
        unused = "NOT EXISTS (SELECT 1 FROM entries e WHERE e.file_id = t.file_id)"
        return self._page("files", "file_id", unused, after, limit)

    def delete_files(self, file_ids: Sequence[int], limit: int) -> tuple[int, list[int]]:
        """Delete those that no entry has, up to ``limit`` rows: how many, and what is left for the next call."""
        deleted = 0
        for part in chunks(file_ids):
            lengths = self._lengths_of_unused(part)
            whole: list[int] = []
            for file_id, length in lengths.items():
                if length > limit:
                    break
                limit -= length + 1
                whole.append(file_id)
            self._delete_whole(whole)
            deleted += len(whole)
            if len(whole) < len(lengths):
                left = list(lengths)[len(whole) :] + [i for i in file_ids if i > part[-1]]
                self._delete_beginning(left[0], limit)
                return deleted, left
        return deleted, []

    def _lengths_of_unused(self, file_ids: Sequence[int]) -> dict[int, int]:
        """How many blocks those have that no entry has."""
        rows = self._connection.execute(
            "SELECT file_id, (SELECT COUNT(*) FROM file_blocks b WHERE b.file_id = f.file_id) FROM files f"  # noqa: S608
            f" WHERE file_id IN ({marks(len(file_ids))})"
            " AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.file_id = f.file_id) ORDER BY file_id",
            file_ids,
        )
        return {row[0]: row[1] for row in rows}

    def _delete_whole(self, file_ids: Sequence[int]) -> None:
        for table in ("file_blocks", "files"):
            self._connection.execute(f"DELETE FROM {table} WHERE file_id IN ({marks(len(file_ids))})", file_ids)  # noqa: S608

    def _delete_beginning(self, file_id: int, limit: int) -> None:
        """Delete some blocks of a file that is too long for one step, which from then on no commit can find."""
        self._connection.execute(f"UPDATE files SET digest = {_BEING_DELETED} WHERE file_id = ?", (file_id,))  # noqa: S608
        self._connection.execute(
            "DELETE FROM file_blocks WHERE file_id = ? AND position IN"
            " (SELECT position FROM file_blocks WHERE file_id = ? LIMIT ?)",
            (file_id, file_id, max(0, limit)),
        )

    def find_loose_blocks(self, after: int, limit: int, *, before_ms: int) -> IdPage:
        """Blocks that nothing refers to and nobody touched after ``before_ms``, among the next ``limit``."""
        unused = f"t.touch_time < {int(before_ms)} AND {UNREFERENCED.replace('b.', 't.')}"
        return self._page("blocks", "block_id", unused, after, limit)

    def delete_blocks(self, block_ids: Sequence[int], *, before_ms: int) -> tuple[int, int]:
        """Delete those that are still so; how many, and their bytes. Objects without blocks are then to be deleted."""
        count = size = 0
        for part in chunks(block_ids):
            rows = self._connection.execute(
                f"DELETE FROM blocks AS b WHERE b.block_id IN ({marks(len(part))})"  # noqa: S608
                f" AND b.touch_time < ? AND {UNREFERENCED} RETURNING size, object_id",
                (*part, before_ms),
            ).fetchall()
            count += len(rows)
            size += sum(row["size"] for row in rows)
            self.condemn_empty(sorted({row["object_id"] for row in rows}), from_ms=self._now_ms)
        return count, size

    def forget_uploads(self, after: int, limit: int, *, before_ms: int) -> int | None:
        """Forget who sent blocks before a time, among those of the next ``limit`` rows; the last block of them."""
        row = self._connection.execute(
            "SELECT MAX(block_id) FROM ("
            " SELECT block_id FROM block_uploads WHERE block_id > ? ORDER BY block_id LIMIT ?)",
            (after, limit),
        ).fetchone()
        if row[0] is None:
            return None
        self._connection.execute(
            "DELETE FROM block_uploads WHERE block_id > ? AND block_id <= ? AND time < ?", (after, row[0], before_ms)
        )
        return int(row[0])

    def find_empty_objects(self, after: int, limit: int) -> IdPage:
        """Objects in which no block is and that are not to be deleted yet, among the next ``limit``."""
        unused = f"t.delete_time IS NULL AND {_EMPTY.replace('objects.', 't.')}"
        return self._page("objects", "object_id", unused, after, limit)

    def condemn_empty(self, object_ids: Sequence[int], *, from_ms: int) -> None:
        """Have objects in which no block is deleted from a time on."""
        for part in chunks(object_ids):
            self._connection.execute(
                f"UPDATE objects SET delete_time = ? WHERE object_id IN ({marks(len(part))})"  # noqa: S608
                f" AND delete_time IS NULL AND {_EMPTY}",
                (from_ms, *part),
            )

    def list_condemned(self, after: int, limit: int) -> list[ObjectRow]:
        """Objects that may be removed from the store now: none while a backup copies what its snapshot needs."""
        rows = self._connection.execute(
            "SELECT object_id, object_key, size FROM objects"  # noqa: S608 - of a constant
            " WHERE delete_time IS NOT NULL AND delete_time <= :now AND object_id > :after"
            f" AND NOT {IS_PINNED} ORDER BY object_id LIMIT :limit",
            {"now": self._now_ms, "after": after, "limit": limit},
        )
        return [ObjectRow(*row) for row in rows]

    def forget_objects(self, object_ids: Sequence[int]) -> None:
        """Delete the rows of objects that were removed from the store."""
        for part in chunks(object_ids):
            self._connection.execute(
                f"DELETE FROM objects WHERE delete_time IS NOT NULL AND object_id IN ({marks(len(part))})",  # noqa: S608
                part,
            )

    def find_unknown(self, keys: Sequence[str]) -> list[str]:
        """Those of some keys that no object has."""
        known: set[str] = set()
        for part in chunks(keys):
            rows = self._connection.execute(
                f"SELECT object_key FROM objects WHERE object_key IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            known.update(row["object_key"] for row in rows)
        return [key for key in keys if key not in known]

    def find_sparse_packs(self, after: int, limit: int) -> tuple[list[ObjectRow], int | None]:
        """Packs of which less than half is in use, among the next ``limit`` objects."""
        last = self._last("objects", "object_id", after, limit)
        if last is None:
            return [], None
        rows = self._connection.execute(
            "SELECT o.object_id, o.object_key, o.size FROM objects o JOIN blocks b ON b.object_id = o.object_id"
            " WHERE o.object_id > ? AND o.object_id <= ? AND o.delete_time IS NULL AND o.object_key LIKE 'packs/%'"
            # A lost block cannot be moved, and it would keep the old pack.
            " GROUP BY o.object_id HAVING 2 * SUM(b.size) < o.size AND MAX(b.state) = 0 ORDER BY o.object_id",
            (after, last),
        )
        return [ObjectRow(*row) for row in rows], last

    def list_blocks_in(self, object_id: int) -> list[BlockRow]:
        """All blocks in an object, in order of their offsets."""
        rows = self._connection.execute(
            'SELECT b.block_id, b.digest, b.object_id, o.object_key, b."offset", b.size'
            " FROM blocks b JOIN objects o USING (object_id)"
            ' WHERE b.object_id = ? ORDER BY b."offset"',
            (object_id,),
        )
        return [block_row(row) for row in rows]

    def move_blocks(self, moves: Sequence[tuple[BlockRow, Extent]], *, kept_until_ms: int) -> list[Extent]:
        """Point blocks that are where they were at their new places; returns places that are not needed after all."""
        sizes: dict[str, int] = {}
        for _, extent in moves:
            sizes[extent.object_key] = max(sizes.get(extent.object_key, 0), extent.offset + extent.length)
        ids = {
            key: self._connection.execute(
                "INSERT INTO objects (object_key, size, create_time) VALUES (?, ?, ?) RETURNING object_id",
                (key, size, self._now_ms),
            ).fetchone()["object_id"]
            for key, size in sizes.items()
        }
        self._connection.executemany(
            'UPDATE blocks SET object_id = ?, "offset" = ?'
            ' WHERE block_id = ? AND object_id = ? AND "offset" = ? AND state = 0',
            [
                (ids[to.object_key], to.offset, block.block_id, block.object_id, block.extent.offset)
                for block, to in moves
            ],
        )
        unneeded = self._delete_empty(list(ids.values()))
        self.condemn_empty(sorted({block.object_id for block, _ in moves}), from_ms=kept_until_ms)
        return [extent for _, extent in moves if extent.object_key in unneeded]

    def _delete_empty(self, object_ids: Sequence[int]) -> set[str]:
        """Delete rows of objects that were just written and got no block; returns their keys."""
        rows = self._connection.execute(
            f"DELETE FROM objects WHERE object_id IN ({marks(len(object_ids))}) AND {_EMPTY} RETURNING object_key",  # noqa: S608
            object_ids,
        ).fetchall()
        return {row["object_key"] for row in rows}

    def _page(self, table: str, key: str, condition: str, after: int, limit: int) -> IdPage:
        """Ids among the next ``limit`` rows of a table; so a page is read in the same time whatever it finds."""
        last = self._last(table, key, after, limit)
        if last is None:
            return IdPage([], None)
        rows = self._connection.execute(
            f"SELECT t.{key} FROM {table} t WHERE t.{key} > ? AND t.{key} <= ? AND {condition} ORDER BY t.{key}",  # noqa: S608
            (after, last),
        )
        return IdPage([row[0] for row in rows], last)

    def _last(self, table: str, key: str, after: int, limit: int) -> int | None:
        row = self._connection.execute(
            f"SELECT MAX({key}) FROM (SELECT {key} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?)",  # noqa: S608
            (after, limit),
        ).fetchone()
        return None if row[0] is None else int(row[0])


def block_row(row: Any) -> BlockRow:
    """A block from (id, digest, object id, key, offset, size)."""
    block_id, digest, object_id, key, offset, size = row
    return BlockRow(block_id, bytes(digest), object_id, Extent(key, offset, size))
