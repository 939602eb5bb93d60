"""Runs and logged models that go for good: out of reach in one small transaction, then swept away in bounded steps.

What was taken out of reach keeps its row until nothing hangs on it any more. Its id changes, so that the same id may
come again.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast_server.domain.artifacts import Owner
from holdfast_server.services.ports.upkeep import Purged
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.trees import SqlTrees

PURGED = "purged"
# Stages that began before this are those that were given up, which is noted as a beginning at 0.
_GIVEN_UP = 1


class _Resource(NamedTuple):
    """A table of what owns a tree, and tables without a foreign key whose rows hang on it."""

    table: str
    number: str
    id: str
    attached: tuple[str, ...]


_KEYS = {
    "entries": "tree_id, path, commit_id",
    "commits": "commit_id",
    "metric_points": "run_no, key, step, timestamp, point",
    "latest_metrics": "run_no, key",
    "model_metrics": "model_no, key, dataset_name, dataset_digest",
    "metric_buckets": "run_no, key, bucket",
}
RUNS = _Resource("runs", "run_no", "run_id", ("metric_points", "latest_metrics", "metric_buckets"))
MODELS = _Resource("logged_models", "model_no", "model_id", ("model_metrics",))


class SqlPurge:
    """Implements ``PurgeRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection = connection
        self._trees = SqlTrees(connection, now_ms)

    def count_purgeable(self, before_ms: int) -> tuple[int, int]:
        """How many runs and models were deleted before a time."""
        counts = [
            self._connection.execute(
                f"SELECT COUNT(*) FROM {kind.table} WHERE delete_time < ? AND lifecycle = 'deleted'",  # noqa: S608
                (before_ms,),
            ).fetchone()[0]
            for kind in (RUNS, MODELS)
        ]
        return counts[0], counts[1]

    def purge_next(self, before_ms: int) -> Purged | None:
        """Take one run or model deleted before a time out of reach, its tree with it; None at the end."""
        for kind in (RUNS, MODELS):
            row = self._connection.execute(
                f"SELECT {kind.number} AS number, {kind.id} AS id, experiment_id FROM {kind.table}"  # noqa: S608
                " WHERE delete_time < ? AND lifecycle = 'deleted' ORDER BY delete_time LIMIT 1",
                (before_ms,),
            ).fetchone()
            if row is not None:
                self._detach_tree(Owner.parse(row["id"]))
                self._connection.execute(
                    f"UPDATE {kind.table} SET lifecycle = ?, {kind.id} = ? WHERE {kind.number} = ?",  # noqa: S608
                    (PURGED, f"{PURGED} {row['number']} {row['id']}", row["number"]),
                )
                return Purged(kind is RUNS, row["number"], row["id"], row["experiment_id"])
        return None

    def sweep(self, limit: int) -> int:
        """Delete up to ``limit`` rows of what was taken out of reach; 0 when none is left."""
        deleted = self._trees.delete_expired_stages(_GIVEN_UP, limit)
        deleted += self._sweep_trees(limit - deleted)
        for kind in (RUNS, MODELS):
            if deleted < limit:
                deleted += self._sweep_resources(kind, limit - deleted)
        return deleted

    def _detach_tree(self, owner: Owner) -> None:
        """Leave of a tree only what versions pin; a tree without pins loses its owner too."""
        row = self._connection.execute("SELECT tree_id FROM trees WHERE owner = ?", (owner.id,)).fetchone()
        if row is None:
            return
        self._connection.execute(
            "UPDATE commits SET begin_time = 0 WHERE tree_id = ? AND sequence IS NULL", (row["tree_id"],)
        )
        if self._connection.execute("SELECT 1 FROM model_versions WHERE owner = ?", (owner.id,)).fetchone():
            # The newest snapshot is emptied: pruning does the rest, and whoever brings the same id begins with nothing.
            commit_id = self._trees.begin_commit(owner)
            self._trees.stage_removals(commit_id, [""])
            self._trees.seal(commit_id)
        else:
            self._connection.execute(
                "UPDATE trees SET owner = ? WHERE tree_id = ?",
                (f"{PURGED} {row['tree_id']} {owner.id}", row["tree_id"]),
            )
        self._connection.execute(
            "UPDATE trees SET purged = 1, kept_from = sequence WHERE tree_id = ?", (row["tree_id"],)
        )

    def _sweep_trees(self, limit: int) -> int:
        if limit <= 0:
            return 0
        deleted = 0
        rows = self._connection.execute(
            "SELECT tree_id FROM trees t WHERE purged = 1"
            " AND NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.owner = t.owner) LIMIT 100"
        ).fetchall()
        for row in rows:
            for table in ("entries", "commits"):
                deleted += self._delete(table, "tree_id", row["tree_id"], limit - deleted)
            if deleted >= limit:
                break
            self._connection.execute("DELETE FROM trees WHERE tree_id = ?", (row["tree_id"],))
            deleted += 1
        return deleted

    def _sweep_resources(self, kind: _Resource, limit: int) -> int:
        deleted = 0
        rows = self._connection.execute(
            # The highest number stays: SQLite would give it to the next one, and metrics of models still name it.
            f"SELECT {kind.number} AS number, {kind.number} = (SELECT MAX({kind.number}) FROM {kind.table}) AS is_last"  # noqa: S608
            f" FROM {kind.table} WHERE lifecycle = '{PURGED}' LIMIT 100"
        ).fetchall()
        for row in rows:
            for table in kind.attached:
                deleted += self._delete(table, kind.number, row["number"], limit - deleted)
            if deleted >= limit:
                break
            if not row["is_last"]:
                self._connection.execute(
                    f"DELETE FROM {kind.table} WHERE {kind.number} = ?",  # noqa: S608 - of constants
                    (row["number"],),
                )
                deleted += 1
        return deleted

    def _delete(self, table: str, column: str, value: int, limit: int) -> int:
        if limit <= 0:
            return 0
        key = _KEYS[table]
        cursor = self._connection.execute(
            f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {column} = ? LIMIT ?)",  # noqa: S608
            (value, limit),
        )
        return int(cursor.rowcount)
