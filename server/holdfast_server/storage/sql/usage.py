"""Sums over what is stored. The size of a tree's newest snapshot is kept, so that only changed trees are measured."""

from __future__ import annotations

from holdfast_server.domain.upkeep import OwnerUsage, StorageUsage
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.forecast import forecast
from holdfast_server.storage.sql.history import SqlHistory

_MEASURE = """
SELECT COUNT(*) AS count, COALESCE(SUM(size), 0) AS size FROM (
  SELECT e.kind AS kind, COALESCE(f.size, 0) AS size, MAX(c.sequence)
  FROM entries e CROSS JOIN commits c ON c.commit_id = e.commit_id LEFT JOIN files f ON f.file_id = e.file_id
  WHERE e.tree_id = ? AND c.sequence <= ? GROUP BY e.path)
WHERE kind = 1
"""
_TOP = """
SELECT {id}, {name}, SUM(t.measured_files) AS files, SUM(t.measured_bytes) AS bytes
FROM trees t {join} WHERE t.measured_bytes > 0 GROUP BY 1 ORDER BY bytes DESC, 1 LIMIT ?
"""
_RUNS = "JOIN runs r ON r.run_id = t.owner"
_MODELS = "JOIN logged_models m ON m.model_id = t.owner"
_GROUPS = {
    "experiments": _TOP.format(
        id="x.experiment_id",
        name="x.name",
        join="LEFT JOIN runs r ON r.run_id = t.owner LEFT JOIN logged_models m ON m.model_id = t.owner"
        " JOIN experiments x ON x.experiment_id = COALESCE(r.experiment_id, m.experiment_id)",
    ),
    "runs": _TOP.format(id="r.run_id", name="r.run_name", join=_RUNS),
    "models": _TOP.format(id="m.model_id", name="m.name", join=_MODELS),
}


class SqlUsage:
    """Implements ``UsageRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list_unmeasured(self, after: int, limit: int) -> list[int]:
        """Trees after one that changed since they were measured."""
        rows = self._connection.execute(
            "SELECT tree_id FROM trees WHERE tree_id > ? AND sequence > 0 AND measured_sequence IS NOT sequence"
            " ORDER BY tree_id LIMIT ?",
            (after, limit),
        )
        return [row["tree_id"] for row in rows]

    def measure(self, tree_id: int) -> tuple[int, int, int]:
        """Sequence, files and bytes of the newest snapshot of a tree."""
        row = self._connection.execute("SELECT sequence FROM trees WHERE tree_id = ?", (tree_id,)).fetchone()
        sequence = row["sequence"] if row else 0
        found = self._connection.execute(_MEASURE, (tree_id, sequence)).fetchone()
        return sequence, found["count"], found["size"]

    def keep_measure(self, tree_id: int, measure: tuple[int, int, int]) -> None:
        """Keep what ``measure`` found."""
        self._connection.execute(
            "UPDATE trees SET measured_sequence = ?, measured_files = ?, measured_bytes = ? WHERE tree_id = ?",
            (*measure, tree_id),
        )

    def totals(self, *, before_ms: int, now_ms: int) -> StorageUsage:
        """All sums; garbage is told apart by whether it was last needed before ``before_ms``."""
        trees = self._connection.execute(
            "SELECT COALESCE(SUM(measured_files), 0), COALESCE(SUM(measured_bytes), 0) FROM trees WHERE purged = 0"
        ).fetchone()
        blocks = self._connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM blocks").fetchone()
        objects = self._connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(SUM(CASE WHEN delete_time IS NOT NULL THEN size END), 0)"
            " FROM objects"
        ).fetchone()
        history = SqlHistory(self._connection)
        *_, now = forecast(self._connection, history, before_ms=before_ms, purge_before_ms=None)
        *_, later = forecast(self._connection, history, before_ms=now_ms + 1, purge_before_ms=None)
        return StorageUsage(
            file_count=trees[0],
            logical_bytes=trees[1],
            block_count=blocks[0],
            block_bytes=blocks[1],
            object_count=objects[0],
            stored_bytes=objects[1],
            reclaimable_bytes=now,
            in_grace_bytes=later - now,
            replaced_bytes=objects[2],
        )

    def largest(self, group: str, limit: int) -> list[OwnerUsage]:
        """The largest ``"experiments"``, ``"runs"`` or ``"models"`` by bytes."""
        rows = self._connection.execute(_GROUPS[group], (limit,))
        return [OwnerUsage(str(row[0]), row[1], row[2], row[3]) for row in rows]
