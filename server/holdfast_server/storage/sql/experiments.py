"""Rows of experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.access import ResourceKind, Viewer
from holdfast_server.domain.experiment import Experiment, Lifecycle, Tag, TagChanges
from holdfast_server.domain.run import DATASET_CONTEXT_TAG, DatasetSummary
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.storage.sql.blocks import marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.key_values import KeyValues
from holdfast_server.storage.sql.search import EXPERIMENTS, find
from holdfast_server.storage.sql.visibility import visible

_SELECT = "SELECT experiment_id, name, lifecycle, create_time, update_time, artifact_location FROM experiments"


class SqlExperiments:
    """Implements ``ExperimentRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tags = KeyValues(connection, "experiment_tags", "experiment_id")

    def create(self, name: str, tags: Sequence[Tag], artifact_location: str, *, now_ms: int) -> Experiment:
        """Add an active one under the next number."""
        row = self._connection.execute(
            "INSERT INTO experiments (name, artifact_location, create_time, update_time) VALUES (?, ?, ?, ?)"
            " RETURNING experiment_id",
            (name, artifact_location, now_ms, now_ms),
        ).fetchone()
        self._tags.set(row["experiment_id"], tags)
        in_order = tuple(sorted(tags, key=lambda tag: tag.key))
        return Experiment(
            row["experiment_id"], name, Lifecycle.ACTIVE, now_ms, now_ms, in_order, artifact_location=artifact_location
        )

    def get(self, experiment_id: int) -> Experiment | None:
        """The one of this id, deleted or not."""
        return self._one(f"{_SELECT} WHERE experiment_id = ?", experiment_id)

    def find(self, name: str) -> Experiment | None:
        """The one of this name, deleted or not."""
        return self._one(f"{_SELECT} WHERE name = ?", name)

    def rename(self, experiment_id: int, name: str, *, now_ms: int) -> None:
        """Give it another name."""
        self._connection.execute(
            "UPDATE experiments SET name = ?, update_time = ? WHERE experiment_id = ?", (name, now_ms, experiment_id)
        )

    def set_lifecycle(self, experiment_id: int, lifecycle: Lifecycle, *, now_ms: int) -> None:
        """Mark it as active or deleted."""
        self._connection.execute(
            "UPDATE experiments SET lifecycle = ?, update_time = ? WHERE experiment_id = ?",
            (lifecycle.value, now_ms, experiment_id),
        )

    def change_tags(self, experiment_id: int, changes: TagChanges, *, now_ms: int) -> None:
        """Set and remove tags; absent keys are passed over."""
        self._tags.set(experiment_id, changes.tags)
        self._tags.delete(experiment_id, changes.deleted_keys)
        self._connection.execute(
            "UPDATE experiments SET update_time = ? WHERE experiment_id = ?", (now_ms, experiment_id)
        )

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[Experiment]]:
        """Those that match, from the one after ``after`` on."""
        rows = find(self._connection, EXPERIMENTS, query, after, limit)
        tags = self._tags.load(Tag, [row["experiment_id"] for row, _ in rows])
        return [Found(_experiment(row, tags.get(row["experiment_id"], ())), position) for row, position in rows]

    def list_datasets(
        self, experiment_ids: Sequence[int], visible_to: Viewer | None, after: Position | None, limit: int
    ) -> list[Found[DatasetSummary]]:
        """Datasets that runs of these experiments read, from the one after ``after`` on, as far as they may be read."""
        shown, values = visible(visible_to, ResourceKind.EXPERIMENT, "d.experiment_id")
        rows = self._connection.execute(
            "SELECT DISTINCT d.experiment_id, d.name, d.digest, COALESCE(t.value, '') AS context FROM datasets d"  # noqa: S608
            " JOIN run_datasets r ON r.dataset_no = d.dataset_no LEFT JOIN run_dataset_tags t"
            " ON t.run_no = r.run_no AND t.dataset_no = r.dataset_no AND t.key = ?"
            f" WHERE d.experiment_id IN ({marks(len(experiment_ids))}) AND {shown}"
            " AND (d.experiment_id, d.name, d.digest, COALESCE(t.value, '')) > (?, ?, ?, ?)"
            " ORDER BY d.experiment_id, d.name, d.digest, context LIMIT ?",
            (DATASET_CONTEXT_TAG, *experiment_ids, *values, *(after or (-1, "", "", "")), limit),
        )
        return [Found(DatasetSummary(*row), tuple(row)) for row in rows]

    def _one(self, statement: str, key: str | int) -> Experiment | None:
        row = self._connection.execute(statement, (key,)).fetchone()
        if row is None:
            return None
        number = row["experiment_id"]
        return _experiment(row, self._tags.load(Tag, [number]).get(number, ()))


def _experiment(row: Any, tags: Sequence[Tag]) -> Experiment:
    return Experiment(
        id=row["experiment_id"],
        name=row["name"],
        lifecycle=Lifecycle(row["lifecycle"]),
        create_time=row["create_time"],
        update_time=row["update_time"],
        tags=tuple(tags),
        artifact_location=row["artifact_location"],
    )
