"""Rows of logged models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from holdfast_server.domain.access import ResourceKind, Viewer
from holdfast_server.domain.experiment import Lifecycle, Tag, TagChanges
from holdfast_server.domain.model import ModelData, ModelInfo, ModelRegistration, ModelStatus
from holdfast_server.domain.run import Metric, Param
from holdfast_server.services.search.mask import EVERYTHING, Mask
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.key_values import KeyValues, among
from holdfast_server.storage.sql.metrics import metric_of
from holdfast_server.storage.sql.search import LOGGED_MODELS, find
from holdfast_server.storage.sql.visibility import visible

_METRIC_COLUMNS = (
    "model_no, key, value, special, timestamp, step, dataset_name, dataset_digest,"
    " COALESCE((SELECT run_id FROM runs WHERE runs.run_no = model_metrics.run_no AND lifecycle != 'purged'), '')"
    " AS run_id"
)
_REGISTRATIONS = (
    "SELECT v.model_id, r.name, v.version FROM model_versions v JOIN registered_models r USING (registered_no)"
)


class SqlLoggedModels:
    """Implements ``LoggedModelRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._params = KeyValues(connection, "model_params", "model_no")
        self._tags = KeyValues(connection, "model_tags", "model_no")

    def create(
        self,
        *,
        model_id: str,
        experiment_id: int,
        name: str,
        source_run_id: str,
        model_type: str,
        params: Sequence[Param],
        tags: Sequence[Tag],
        principal: str,
        now_ms: int,
    ) -> ModelInfo:
        """Add a pending, active model."""
        row = self._connection.execute(
            "INSERT INTO logged_models"
            " (model_id, experiment_id, name, source_run_id, model_type, principal, create_time, update_time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (model_id, experiment_id, name, source_run_id, model_type, principal, now_ms, now_ms),
        ).fetchone()
        self._params.set(row["model_no"], params)
        self._tags.set(row["model_no"], tags)
        return model_of(row)

    def get(self, model_id: str) -> ModelInfo | None:
        """The model of this id, deleted or not."""
        row = self._connection.execute("SELECT * FROM logged_models WHERE model_id = ?", (model_id,)).fetchone()
        return model_of(row) if row else None

    def get_state(self, model_id: str) -> tuple[str, str] | None:
        """Status ("PENDING", "READY" or "FAILED") and lifecycle ("active" or "deleted"); None when there is none."""
        row = self._connection.execute(
            "SELECT status, lifecycle FROM logged_models WHERE model_id = ?", (model_id,)
        ).fetchone()
        return (row["status"], row["lifecycle"]) if row else None

    def get_numbers(self, model_ids: Collection[str]) -> dict[str, int]:
        """The numbers of those ids that exist, deleted or not."""
        found: dict[str, int] = {}
        for part in chunks(list(model_ids)):
            rows = self._connection.execute(
                f"SELECT model_id, model_no FROM logged_models WHERE model_id IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            found.update((model_id, number) for model_id, number in rows)
        return found

    def newest_by_name(self, run_id: str) -> list[tuple[str, str]]:
        """Name and id of the newest active, READY model of each name that a run logged, in order of names.

        One that is still being written, or whose writing failed, must not hide the good one before it.
        """
        rows = self._connection.execute(
            "SELECT name, model_id FROM logged_models WHERE source_run_id = ? AND source_run_id != ''"
            " AND lifecycle = 'active' AND status = 'READY' ORDER BY name, create_time, model_no",
            (run_id,),
        )
        return list({name: model_id for name, model_id in rows}.items())  # noqa: C416 - the last of each name stays

    def set_status(self, number: int, status: ModelStatus, message: str, *, now_ms: int) -> None:
        """Finalize a model."""
        self._connection.execute(
            "UPDATE logged_models SET status = ?, status_message = ?, update_time = ? WHERE model_no = ?",
            (status.value, message, now_ms, number),
        )

    def set_lifecycle(self, number: int, lifecycle: Lifecycle, *, now_ms: int) -> None:
        """Mark a model as active or deleted."""
        self._connection.execute(
            "UPDATE logged_models SET lifecycle = ?, delete_time = ?, update_time = ? WHERE model_no = ?",
            (lifecycle.value, now_ms if lifecycle is Lifecycle.DELETED else None, now_ms, number),
        )

    def clear_principal(self, number: int) -> None:
        """Keep no more who logged a model."""
        self._connection.execute("UPDATE logged_models SET principal = '' WHERE model_no = ?", (number,))

    def touch(self, number: int, *, now_ms: int) -> None:
        """Record that it changed."""
        self._connection.execute("UPDATE logged_models SET update_time = ? WHERE model_no = ?", (now_ms, number))

    def get_params(self, number: int, keys: Sequence[str]) -> dict[str, str]:
        """The values of those keys that are there."""
        return self._params.get(number, keys)

    def add_params(self, number: int, params: Sequence[Param]) -> None:
        """Add params; the caller made sure that the keys are free."""
        self._params.set(number, params)

    def change_tags(self, number: int, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        self._tags.set(number, changes.tags)
        self._tags.delete(number, changes.deleted_keys)

    def load_data(
        self, models: Iterable[ModelInfo], mask: Mask = EVERYTHING, visible_to: Viewer | None = None
    ) -> dict[int, ModelData]:
        """What many models hold, as far as it is wanted; every model has an entry.

        Of registrations those are left out that ``visible_to`` may not read.
        """
        models = list(models)
        numbers = [model.number for model in models]
        params = self._params.load(Param, numbers, mask.keys("params"))
        tags = self._tags.load(Tag, numbers, mask.keys("tags"))
        metrics = self._load_metrics({model.number: model.id for model in models}, mask.keys("metrics"))
        registered = [model.id for model in models] if mask.wants("registrations") else []
        registrations = self._load_registrations(registered, visible_to)
        return {
            model.number: ModelData(
                params=tuple(params.get(model.number, ())),
                tags=tuple(tags.get(model.number, ())),
                metrics=tuple(metrics.get(model.number, ())),
                registrations=tuple(registrations.get(model.id, ())),
            )
            for model in models
        }

    def list_params(self, number: int, after: str, limit: int) -> list[Param]:
        """Params with keys after ``after``, in order of keys."""
        return self._params.page(Param, number, after, limit)

    def list_tags(self, number: int, after: str, limit: int) -> list[Tag]:
        """Tags with keys after ``after``, in order of keys."""
        return self._tags.page(Tag, number, after, limit)

    def list_metrics(self, number: int, after: tuple[str, str, str], limit: int) -> list[Metric]:
        """The newest points, in order of (key, dataset name, dataset digest), after ``after``."""
        rows = self._connection.execute(
            f"SELECT {_METRIC_COLUMNS}, (SELECT model_id FROM logged_models WHERE model_no = ?) AS model_id"  # noqa: S608
            " FROM model_metrics WHERE model_no = ? AND (key, dataset_name, dataset_digest) > (?, ?, ?)"
            " ORDER BY key, dataset_name, dataset_digest LIMIT ?",
            (number, number, *after, limit),
        )
        return [metric_of(row) for row in rows]

    def list_registrations(
        self, model_id: str, visible_to: Viewer | None, after: tuple[str, int], limit: int
    ) -> list[ModelRegistration]:
        """Versions made of a model that ``visible_to`` may read, in order of (name, version), after ``after``."""
        shown, values = visible(visible_to, ResourceKind.REGISTERED_MODEL, "r.lineage")
        rows = self._connection.execute(
            f"{_REGISTRATIONS} WHERE v.model_id = ? AND v.model_id != '' AND {shown} AND (r.name, v.version) > (?, ?)"
            " ORDER BY r.name, v.version LIMIT ?",
            (model_id, *values, *after, limit),
        )
        return [ModelRegistration(row["name"], row["version"]) for row in rows]

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[ModelInfo]]:
        """Those that match, from the one after ``after`` on."""
        rows = find(self._connection, LOGGED_MODELS, query, after, limit)
        return [Found(model_of(row), position) for row, position in rows]

    def _load_metrics(self, ids: dict[int, str], keys: Sequence[str] | None) -> dict[int, list[Metric]]:
        found: dict[int, list[Metric]] = {}
        wanted, values = among(keys)
        for part in chunks(list(ids)) if keys is None or keys else ():
            rows = self._connection.execute(
                f"SELECT {_METRIC_COLUMNS} FROM model_metrics WHERE model_no IN ({marks(len(part))}){wanted}"  # noqa: S608
                " ORDER BY model_no, key, dataset_name, dataset_digest",
                (*part, *values),
            )
            for row in rows:
                found.setdefault(row["model_no"], []).append(metric_of(row, ids[row["model_no"]]))
        return found

    def _load_registrations(
        self, model_ids: Sequence[str], visible_to: Viewer | None
    ) -> dict[str, list[ModelRegistration]]:
        found: dict[str, list[ModelRegistration]] = {}
        shown, values = visible(visible_to, ResourceKind.REGISTERED_MODEL, "r.lineage")
        for part in chunks(model_ids):
            rows = self._connection.execute(
                f"{_REGISTRATIONS} WHERE v.model_id IN ({marks(len(part))}) AND v.model_id != '' AND {shown}"
                " ORDER BY r.name, v.version",
                (*part, *values),
            )
            for row in rows:
                found.setdefault(row["model_id"], []).append(ModelRegistration(row["name"], row["version"]))
        return found


def model_of(row: Any) -> ModelInfo:
    """A logged model from its row."""
    return ModelInfo(
        number=row["model_no"],
        id=row["model_id"],
        experiment_id=row["experiment_id"],
        name=row["name"],
        source_run_id=row["source_run_id"],
        model_type=row["model_type"],
        status=ModelStatus(row["status"]),
        status_message=row["status_message"],
        lifecycle=Lifecycle(row["lifecycle"]),
        create_time=row["create_time"],
        update_time=row["update_time"],
        principal=row["principal"],
    )
