"""What a collection of garbage would delete, found without deleting anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast_server.services.ports.upkeep import UnprunedTree
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.garbage import REFERRING, unreferenced_by
from holdfast_server.storage.sql.history import SqlHistory

_TABLES = {
    "gone_trees": "tree_id INTEGER PRIMARY KEY",
    "gone_entries": "file_id INTEGER PRIMARY KEY, count INTEGER NOT NULL",
    "gone_files": "file_id INTEGER PRIMARY KEY",
}
# Trees of runs and models that would be purged, or were.
_GONE_TREES = """
INSERT INTO gone_trees SELECT tree_id FROM trees t
WHERE t.purged = 1 OR t.owner IN (
  SELECT run_id FROM runs WHERE delete_time < :before AND lifecycle = 'deleted'
  UNION ALL SELECT model_id FROM logged_models WHERE delete_time < :before AND lifecycle = 'deleted')
"""
_COUNT = "INSERT INTO gone_entries (file_id, count) VALUES (?, 1) ON CONFLICT (file_id) DO UPDATE SET count = count + 1"
# What is left of stages that were given up.
_GIVEN_UP = """
SELECT e.file_id FROM commits c CROSS JOIN entries e ON e.commit_id = c.commit_id
WHERE c.sequence IS NULL AND c.begin_time = 0
"""
_GONE_FILES = """
INSERT INTO gone_files
SELECT g.file_id FROM gone_entries g
WHERE g.count >= (SELECT COUNT(*) FROM entries e WHERE e.file_id = g.file_id)
UNION
SELECT f.file_id FROM files f WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.file_id = f.file_id)
"""
_OTHERS = " AND ".join(["true", *(unreferenced_by(table) for table in REFERRING if table != "file_blocks")])
_GONE_BLOCKS = f"""
SELECT COUNT(*) AS count, COALESCE(SUM(b.size), 0) AS size FROM blocks b
WHERE b.touch_time < :before AND {_OTHERS} AND NOT EXISTS (
  SELECT 1 FROM file_blocks r WHERE r.block_id = b.block_id AND r.file_id NOT IN (SELECT file_id FROM gone_files))
"""  # noqa: S608 - of constants


def forecast(
    connection: Connection, history: SqlHistory, *, before_ms: int, purge_before_ms: int | None
) -> tuple[int, int, int, int]:
    """Pruned entries, files, blocks and bytes of blocks that would go.

    Sets grow in temporary tables, which take less than Python's.
    """
    with _scratch(connection):
        connection.execute(_GONE_TREES, {"before": purge_before_ms if purge_before_ms is not None else 0})
        _count(connection, (row["file_id"] for row in connection.execute(_GIVEN_UP)))
        _count(connection, _purged_entries(connection, history))
        entries = _count(connection, _pruned_entries(connection, history, before_ms))
        files = connection.execute(_GONE_FILES).rowcount
        row = connection.execute(_GONE_BLOCKS, {"before": before_ms}).fetchone()
        return entries, int(files), row["count"], row["size"]


def _count(connection: Connection, file_ids: Iterator[int | None]) -> int:
    """Count entries by file, None for those without one; returns how many there are."""
    count = 0
    for file_id in file_ids:
        count += 1
        if file_id is not None:
            connection.execute(_COUNT, (file_id,))
    return count


def _purged_entries(connection: Connection, history: SqlHistory) -> Iterator[int | None]:
    for tree_id, sequence in connection.execute("SELECT tree_id, sequence FROM gone_trees JOIN trees USING (tree_id)"):
        yield from _obsolete(history, UnprunedTree(tree_id, 0, sequence + 1, emptied=True))


def _pruned_entries(connection: Connection, history: SqlHistory, before_ms: int) -> Iterator[int | None]:
    last: int | None = 0
    while last is not None:
        trees, last = history.list_unpruned(last, 500, before_ms=before_ms)
        for tree in trees:
            if not connection.execute("SELECT 1 FROM gone_trees WHERE tree_id = ?", (tree.tree_id,)).fetchone():
                yield from _obsolete(history, tree)


def _obsolete(history: SqlHistory, tree: UnprunedTree) -> Iterator[int | None]:
    """File ids of entries that would go, None for directories and empty files."""
    path: str | None = ""
    while path is not None:
        obsolete, path = history.find_obsolete(tree, path, 500)
        yield from (entry.file_id for entry in obsolete)


@contextmanager
def _scratch(connection: Connection) -> Iterator[None]:
    """Temporary tables on a reader's connection, which otherwise refuses even those."""
    connection.execute("PRAGMA query_only=OFF")
    try:
        for name, columns in _TABLES.items():
            connection.execute(f"CREATE TEMP TABLE {name} ({columns})")
        yield
    finally:
        for name in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
        connection.execute("PRAGMA query_only=ON")
