"""Rows that a check of the store compares with its objects, and what it finds wrong among the rows themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from holdfast_server.domain.upkeep import Finding, FindingKind, Place
from holdfast_server.services.ports.upkeep import BlockRow, ObjectRow
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.garbage import UNREFERENCED, block_row

_BLOCKS = (
    'SELECT b.block_id, b.digest, b.object_id, o.object_key, b."offset", b.size'
    " FROM blocks b JOIN objects o ON o.object_id = b.object_id"
)
_AFFECTED = """
SELECT t.owner, e.path FROM file_blocks fb
JOIN entries e ON e.file_id = fb.file_id
JOIN commits c ON c.commit_id = e.commit_id AND c.sequence IS NOT NULL
JOIN trees t ON t.tree_id = e.tree_id
WHERE fb.block_id = :block_id
UNION
SELECT t.owner, l.path FROM live_segments s
JOIN live_files l ON l.live_no = s.live_no AND l.state = 0
JOIN trees t ON t.tree_id = l.tree_id
WHERE s.block_id = :block_id
LIMIT :limit
"""
# What foreign keys cannot express. Each row: a digest or NULL, and a text.
_CONTRADICTIONS = (
    (
        "SELECT f.digest, 'File ' || f.file_id || ' has ' || f.size || ' bytes, and its blocks have '"
        " || COALESCE(SUM(b.size), 0) || '. Restore the database from a backup, or log the file again.' AS text"
        " FROM files f LEFT JOIN file_blocks fb USING (file_id) LEFT JOIN blocks b USING (block_id)"
        " WHERE LENGTH(f.digest) = 32 GROUP BY f.file_id"
        " HAVING f.size != COALESCE(SUM(b.size), 0) OR COUNT(fb.position) != COALESCE(MAX(fb.position) + 1, 0)"
    ),
    (
        "SELECT b.digest, 'Block ' || LOWER(HEX(b.digest)) || ' ends behind its object ' || o.object_key"
        " || '. Restore the database from a backup, or log the file again.' AS text"
        ' FROM blocks b JOIN objects o USING (object_id) WHERE b."offset" + b.size > o.size'
    ),
    (
        "SELECT NULL, 'Object ' || object_key || ' is to be deleted and still holds blocks.' AS text FROM objects o"
        " WHERE delete_time IS NOT NULL AND EXISTS (SELECT 1 FROM blocks b WHERE b.object_id = o.object_id)"
    ),
    (
        "SELECT NULL, 'Version ' || v.version || ' of model ' || r.name || ' shows a snapshot that is not there. '"
        " || 'Restore the database from a backup, or register the model again.' AS text"
        " FROM model_versions v JOIN registered_models r USING (registered_no)"
        " WHERE v.sequence > 0 AND NOT EXISTS (SELECT 1 FROM trees t JOIN commits c ON c.tree_id = t.tree_id"
        "  WHERE t.owner = v.owner AND c.sequence = v.sequence)"
    ),
    (
        "SELECT NULL, 'The tree of ' || t.owner || ' lacks its newest commit. Restore the database from a backup.'"
        " AS text"
        " FROM trees t WHERE t.sequence > 0 AND t.purged = 0 AND NOT EXISTS (SELECT 1 FROM commits c"
        "  WHERE c.tree_id = t.tree_id AND c.sequence = t.sequence)"
    ),
)


class SqlChecks:
    """Implements ``CheckRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find_objects(self, keys: Sequence[str]) -> dict[str, tuple[ObjectRow, bool]]:
        """The rows of some keys, and whether blocks are in them."""
        found: dict[str, tuple[ObjectRow, bool]] = {}
        for part in chunks(keys):
            rows = self._connection.execute(
                "SELECT object_id, object_key, size, delete_time IS NULL AS in_use FROM objects"  # noqa: S608
                f" WHERE object_key IN ({marks(len(part))})",
                part,
            )
            found.update((key, (ObjectRow(number, key, size), bool(in_use))) for number, key, size, in_use in rows)
        return found

    def list_objects(self, after: int, limit: int) -> list[ObjectRow]:
        """Objects in which blocks are, in order of ids."""
        rows = self._connection.execute(
            "SELECT object_id, object_key, size FROM objects WHERE object_id > ? AND delete_time IS NULL"
            " ORDER BY object_id LIMIT ?",
            (after, limit),
        )
        return [ObjectRow(*row) for row in rows]

    def list_blocks(self, after: tuple[int, int], limit: int) -> list[BlockRow]:
        """Present blocks in order of (object, id), after a place."""
        rows = self._connection.execute(
            f"{_BLOCKS} WHERE (b.object_id, b.block_id) > (?, ?) AND b.state = 0"
            " ORDER BY b.object_id, b.block_id LIMIT ?",
            (*after, limit),
        )
        return [block_row(row) for row in rows]

    def locate(self, block_id: int) -> BlockRow | None:
        """Where a present block is now."""
        row = self._connection.execute(f"{_BLOCKS} WHERE b.block_id = ? AND b.state = 0", (block_id,)).fetchone()
        return block_row(row) if row else None

    def affected(self, block_id: int, limit: int) -> list[Place]:
        """Files that need a block, those that are being written with them."""
        return [Place(*row) for row in self._connection.execute(_AFFECTED, {"block_id": block_id, "limit": limit})]

    def mark_lost(self, block: BlockRow) -> bool:
        """Count a block as missing from now on if it is still where it was, so that it is written anew."""
        cursor = self._connection.execute(
            'UPDATE blocks SET state = 1 WHERE block_id = ? AND object_id = ? AND "offset" = ? AND state = 0',
            (block.block_id, block.object_id, block.extent.offset),
        )
        self._connection.execute("UPDATE block_store SET repairs = repairs + ?", (cursor.rowcount,))
        return bool(cursor.rowcount)

    def mark_found(self, block: BlockRow) -> bool:
        """Take ``mark_lost`` back for a block that is still where it was."""
        cursor = self._connection.execute(
            'UPDATE blocks SET state = 0 WHERE block_id = ? AND object_id = ? AND "offset" = ? AND state != 0',
            (block.block_id, block.object_id, block.extent.offset),
        )
        return bool(cursor.rowcount)

    def find_inconsistencies(self, limit: int) -> list[Finding]:
        """Rows that contradict each other, and damage to the database file itself."""
        return [finding for _, finding in zip(range(limit), self._inconsistencies(limit), strict=False)]

    def list_lost(self, after: int, limit: int) -> list[BlockRow]:
        """Blocks that were marked as lost and that something refers to."""
        rows = self._connection.execute(
            f"{_BLOCKS} WHERE b.state != 0 AND b.block_id > ? AND NOT ({UNREFERENCED}) ORDER BY b.block_id LIMIT ?",
            (after, limit),
        )
        return [block_row(row) for row in rows]

    def count_unreferenced(self) -> tuple[int, int]:
        """Blocks that nothing refers to, and their bytes."""
        return self._sums(f"WHERE {UNREFERENCED}")

    def totals(self) -> tuple[int, int]:
        """Blocks and their bytes."""
        return self._sums("")

    def _sums(self, where: str) -> tuple[int, int]:
        row: Any = self._connection.execute(f"SELECT COUNT(*), COALESCE(SUM(size), 0) FROM blocks b {where}").fetchone()  # noqa: S608
        return row[0], row[1]

    def _inconsistencies(self, limit: int) -> Iterator[Finding]:
        for row in self._connection.execute(f"PRAGMA quick_check({int(limit)})"):
            if row[0] != "ok":
                yield Finding(
                    kind=FindingKind.DATABASE,
                    message=f"The database file is damaged: {row[0]}. Restore it from a backup.",
                )
        for table, rowid, parent, _ in self._connection.execute("PRAGMA foreign_key_check"):
            yield Finding(
                kind=FindingKind.DANGLING,
                message=f"A row of {table}{f' ({rowid})' if rowid else ''} refers to a row of {parent} that is not "
                "there. Restore the database from a backup.",
            )
        for statement in _CONTRADICTIONS:
            for digest, text in self._connection.execute(f"{statement} LIMIT ?", (limit,)):
                yield Finding(kind=FindingKind.DANGLING, message=text, digest=bytes(digest or b""))
