"""Rows of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.experiment import Lifecycle, Tag
from holdfast_server.domain.run import Param, RunData, RunInfo, RunStatus
from holdfast_server.services.search.mask import EVERYTHING, Mask
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.key_values import KeyValues
from holdfast_server.storage.sql.metrics import SqlMetrics
from holdfast_server.storage.sql.run_links import SqlRunLinks
from holdfast_server.storage.sql.search import RUN_COLUMNS, RUNS, find, find_among

_STATUSES = {status.value: status for status in RunStatus}
_LIFECYCLES = {lifecycle.value: lifecycle for lifecycle in Lifecycle}


class SqlRuns(SqlMetrics, SqlRunLinks):
    """Implements ``RunRepository``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._params = KeyValues(connection, "run_params", "run_no")
        self._tags = KeyValues(connection, "run_tags", "run_no")

    def create(
        self,
        *,
        run_id: str,
        experiment_id: int,
        name: str,
        user_id: str,
        status: RunStatus,
        start_time: int,
        tags: Sequence[Tag],
    ) -> RunInfo:
        """Add an active run with tags."""
        row = self._connection.execute(
            "INSERT INTO runs (run_id, experiment_id, run_name, user_id, status, start_time) VALUES (?, ?, ?, ?, ?, ?)"
            " RETURNING run_no",
            (run_id, experiment_id, name, user_id, status.value, start_time),
        ).fetchone()
        self._tags.set(row["run_no"], tags)
        return RunInfo(
            number=row["run_no"],
            id=run_id,
            experiment_id=experiment_id,
            name=name,
            user_id=user_id,
            status=status,
            lifecycle=Lifecycle.ACTIVE,
            start_time=start_time,
            end_time=None,
        )

    def get(self, run_id: str) -> RunInfo | None:
        """The run of this id, deleted or not."""
        row = self._connection.execute(f"SELECT {RUN_COLUMNS} FROM runs t WHERE run_id = ?", (run_id,)).fetchone()  # noqa: S608
        return run_of(row) if row else None

    def get_lifecycle(self, run_id: str) -> str | None:
        """``"active"`` or ``"deleted"``; None when there is no such run."""
        row = self._connection.execute("SELECT lifecycle FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return str(row["lifecycle"]) if row else None

    def update(self, number: int, *, name: str, status: RunStatus, end_time: int | None) -> None:
        """Overwrite what can change of a run."""
        self._connection.execute(
            "UPDATE runs SET run_name = ?, status = ?, end_time = ? WHERE run_no = ?",
            (name, status.value, end_time, number),
        )

    def set_lifecycle(self, number: int, lifecycle: Lifecycle, *, now_ms: int) -> None:
        """Mark a run as active or deleted."""
        self._connection.execute(
            "UPDATE runs SET lifecycle = ?, delete_time = ?, deleted_with_experiment = 0 WHERE run_no = ?",
            (lifecycle.value, now_ms if lifecycle is Lifecycle.DELETED else None, number),
        )

    def delete_all_of(self, experiment_id: int, *, now_ms: int) -> None:
        """Mark an experiment's active runs as deleted with it."""
        self._connection.execute(
            "UPDATE runs SET lifecycle = 'deleted', delete_time = ?, deleted_with_experiment = 1"
            " WHERE experiment_id = ? AND lifecycle = 'active'",
            (now_ms, experiment_id),
        )

    def restore_all_of(self, experiment_id: int) -> None:
        """Undo ``delete_all_of``; runs that were deleted on their own stay so."""
        self._connection.execute(
            "UPDATE runs SET lifecycle = 'active', delete_time = NULL, deleted_with_experiment = 0"
            " WHERE experiment_id = ? AND lifecycle = 'deleted' AND deleted_with_experiment = 1",
            (experiment_id,),
        )

    def get_params(self, number: int, keys: Sequence[str]) -> dict[str, str]:
        """The values of those keys that are there."""
        return self._params.get(number, keys)

    def add_params(self, number: int, params: Sequence[Param]) -> None:
        """Add params; the caller made sure that the keys are free."""
        self._params.set(number, params)

    def set_tags(self, number: int, tags: Sequence[Tag]) -> None:
        """Set tags, over earlier values."""
        self._tags.set(number, tags)

    def delete_tags(self, number: int, keys: Sequence[str]) -> list[str]:
        """Remove tags; returns the keys that were not there."""
        return self._tags.delete(number, keys)

    def load_data(self, numbers: Sequence[int], mask: Mask = EVERYTHING) -> dict[int, RunData]:
        """What many runs logged, as far as it is wanted; every number has an entry."""
        params = self._params.load(Param, numbers, mask.keys("params"))
        tags = self._tags.load(Tag, numbers, mask.keys("tags"))
        metrics = self._load_latest(numbers, mask.keys("metrics"))
        datasets = self._load_dataset_inputs(numbers) if mask.wants("dataset_inputs") else {}
        inputs = self._load_model_inputs(numbers) if mask.wants("model_inputs") else {}
        outputs = self._load_model_outputs(numbers) if mask.wants("model_outputs") else {}
        return {
            number: RunData(
                params=tuple(params.get(number, ())),
                tags=tuple(tags.get(number, ())),
                metrics=tuple(metrics.get(number, ())),
                dataset_inputs=tuple(datasets.get(number, ())),
                model_inputs=tuple(inputs.get(number, ())),
                model_outputs=tuple(outputs.get(number, ())),
            )
            for number in numbers
        }

    def list_params(self, number: int, after: str, limit: int) -> list[Param]:
        """Params with keys after ``after``, in order of keys."""
        return self._params.page(Param, number, after, limit)

    def list_tags(self, number: int, after: str, limit: int) -> list[Tag]:
        """Tags with keys after ``after``, in order of keys."""
        return self._tags.page(Tag, number, after, limit)

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[RunInfo]]:
        """Those that match, from the one after ``after`` on."""
        return [Found(run_of(row), position) for row, position in find(self._connection, RUNS, query, after, limit)]

    def search_among(self, numbers: Sequence[int], query: SearchQuery) -> list[RunInfo]:
        """Those of some runs that match, in the order of the query."""
        return [run_of(row) for row in find_among(self._connection, RUNS, query, numbers)]


def run_of(row: Any) -> RunInfo:
    """A run from a row that begins with ``RUN_COLUMNS``."""
    number, run_id, experiment_id, name, user_id, status, lifecycle, start_time, end_time, lost, *_ = row
    return RunInfo(
        number=number,
        id=run_id,
        experiment_id=experiment_id,
        name=name,
        user_id=user_id,
        status=_STATUSES[status],
        lifecycle=_LIFECYCLES[lifecycle],
        start_time=start_time,
        end_time=end_time,
        lost=bool(lost),
    )
