"""Repositories of experiments, runs and logged models.

Rows of a run or model hang on its ``number``, the storage's own short name for it. Bulk methods take many numbers and
make one query per kind, so that a page of a search costs the same number of queries however long it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from holdfast_server.domain.access import Viewer
from holdfast_server.domain.experiment import Experiment, Lifecycle, Tag, TagChanges
from holdfast_server.domain.metric_chart import MetricBucket, StepRange
from holdfast_server.domain.model import ModelData, ModelInfo, ModelRegistration, ModelStatus
from holdfast_server.domain.run import (
    DatasetInput,
    DatasetSummary,
    Metric,
    ModelOutput,
    Param,
    RunData,
    RunInfo,
    RunStatus,
)
from holdfast_server.services.search.mask import EVERYTHING, Mask
from holdfast_server.services.search.query import Found, Position, SearchQuery


class ExperimentRepository(Protocol):
    """Experiments and their tags."""

    def create(self, name: str, tags: Sequence[Tag], artifact_location: str, *, now_ms: int) -> Experiment:
        """Add an active one under the next number; the caller made sure that the name is free."""
        ...

    def get(self, experiment_id: int) -> Experiment | None:
        """The one of this id, deleted or not."""
        ...

    def find(self, name: str) -> Experiment | None:
        """The one of this name, deleted or not."""
        ...

    def rename(self, experiment_id: int, name: str, *, now_ms: int) -> None:
        """Give it another name; the caller made sure that it is free."""
        ...

    def set_lifecycle(self, experiment_id: int, lifecycle: Lifecycle, *, now_ms: int) -> None:
        """Mark it as active or deleted."""
        ...

    def change_tags(self, experiment_id: int, changes: TagChanges, *, now_ms: int) -> None:
        """Set and remove tags; absent keys are passed over."""
        ...

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[Experiment]]:
        """Those that match, from the one after ``after`` on."""
        ...

    def list_datasets(
        self, experiment_ids: Sequence[int], visible_to: Viewer | None, after: Position | None, limit: int
    ) -> list[Found[DatasetSummary]]:
        """Datasets that runs of these experiments read, from the one after ``after`` on, as far as they may be read."""
        ...


class MetricRepository(Protocol):
    """Points of metrics and the newest of each key."""

    def add_metrics(
        self, run_number: int, metrics: Sequence[Metric], model_numbers: dict[str, int]
    ) -> dict[str, Metric]:
        """Append points and bring the newest ones up to date, of the run and of the models that they name.

        Returns the newest point of each key among them.
        """
        ...

    def writer_mark(self, run_number: int, writer_id: str) -> int:
        """The position after the last metric kept of a writer; 0 for an unknown one."""
        ...

    def set_writer_mark(self, run_number: int, writer_id: str, next_sequence: int) -> None:
        """Move a writer's mark."""
        ...

    def list_points(
        self, run_number: int, key: str, steps: StepRange, after: tuple[int, int, int] | None, limit: int
    ) -> list[tuple[Metric, tuple[int, int, int]]]:
        """Points of a key at some steps with their places (step, timestamp, number), from that after ``after`` on."""
        ...

    def count_points(self, run_number: int) -> int:
        """How many points a run has."""
        ...

    def list_arrived(self, run_number: int, first: int, limit: int) -> list[Metric]:
        """Points in order of arrival, from position ``first`` on; it looks at all points of the run."""
        ...

    def list_metric_buckets(self, run_number: int, key: str, steps: StepRange, most: int) -> list[MetricBucket]:
        """The points of some steps in at most ``most`` buckets, in order of steps."""
        ...

    def list_latest_metrics(self, run_number: int, after: str, limit: int) -> list[Metric]:
        """The newest point of each key after ``after``, in order of keys."""
        ...


class RunRepository(MetricRepository, Protocol):
    """Runs with params, tags, metrics and links."""

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
        """Add an active run with tags; the caller made sure that the id is free."""
        ...

    def get(self, run_id: str) -> RunInfo | None:
        """The run of this id, deleted or not."""
        ...

    def get_lifecycle(self, run_id: str) -> str | None:
        """``"active"`` or ``"deleted"``; None when there is no such run."""
        ...

    def update(self, number: int, *, name: str, status: RunStatus, end_time: int | None) -> None:
        """Overwrite what can change of a run."""
        ...

    def set_lifecycle(self, number: int, lifecycle: Lifecycle, *, now_ms: int) -> None:
        """Mark a run as active or deleted."""
        ...

    def delete_all_of(self, experiment_id: int, *, now_ms: int) -> None:
        """Mark an experiment's active runs as deleted with it."""
        ...

    def restore_all_of(self, experiment_id: int) -> None:
        """Undo ``delete_all_of``; runs that were deleted on their own stay so."""
        ...

    def get_params(self, number: int, keys: Sequence[str]) -> dict[str, str]:
        """The values of those keys that are there."""
        ...

    def add_params(self, number: int, params: Sequence[Param]) -> None:
        """Add params; the caller made sure that the keys are free."""
        ...

    def set_tags(self, number: int, tags: Sequence[Tag]) -> None:
        """Set tags, over earlier values."""
        ...

    def delete_tags(self, number: int, keys: Sequence[str]) -> list[str]:
        """Remove tags; returns the keys that were not there."""
        ...

    def add_dataset_inputs(self, run: RunInfo, inputs: Sequence[DatasetInput]) -> int:
        """Link datasets; returns the most tags that one of these links now has."""
        ...

    def add_model_inputs(self, number: int, model_ids: Sequence[str]) -> None:
        """Link models that the run read; a link that is there stays."""
        ...

    def add_model_outputs(self, number: int, outputs: Sequence[ModelOutput]) -> None:
        """Link models that the run produced; a link that is there takes the new step."""
        ...

    def load_data(self, numbers: Sequence[int], mask: Mask = EVERYTHING) -> dict[int, RunData]:
        """What many runs logged, as far as it is wanted; every number has an entry."""
        ...

    def list_params(self, number: int, after: str, limit: int) -> list[Param]:
        """Params with keys after ``after``, in order of keys."""
        ...

    def list_tags(self, number: int, after: str, limit: int) -> list[Tag]:
        """Tags with keys after ``after``, in order of keys."""
        ...

    def list_dataset_inputs(self, number: int, after: int, limit: int) -> list[tuple[int, DatasetInput]]:
        """Dataset inputs with their places, from the one after ``after`` on."""
        ...

    def list_model_inputs(self, number: int, after: str, limit: int) -> list[str]:
        """Ids of models that the run read, after ``after``."""
        ...

    def list_model_outputs(self, number: int, after: str, limit: int) -> list[ModelOutput]:
        """Models that the run produced, with ids after ``after``."""
        ...

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[RunInfo]]:
        """Those that match, from the one after ``after`` on."""
        ...

    def search_among(self, numbers: Sequence[int], query: SearchQuery) -> list[RunInfo]:
        """Those of some runs that match, in the order of the query."""
        ...


class LoggedModelRepository(Protocol):
    """Logged models with params, tags, metrics and registrations."""

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
        """Add a pending, active model; the caller made sure that the id is free."""
        ...

    def get(self, model_id: str) -> ModelInfo | None:
        """The model of this id, deleted or not."""
        ...

    def get_state(self, model_id: str) -> tuple[str, str] | None:
        """Status ("PENDING", "READY" or "FAILED") and lifecycle ("active" or "deleted"); None when there is none."""
        ...

    def get_numbers(self, model_ids: Collection[str]) -> dict[str, int]:
        """The numbers of those ids that exist, deleted or not."""
        ...

    def newest_by_name(self, run_id: str) -> list[tuple[str, str]]:
        """Name and id of the newest active model of each name that a run logged, in order of names."""
        ...

    def set_status(self, number: int, status: ModelStatus, message: str, *, now_ms: int) -> None:
        """Finalize a model."""
        ...

    def set_lifecycle(self, number: int, lifecycle: Lifecycle, *, now_ms: int) -> None:
        """Mark a model as active or deleted."""
        ...

    def clear_principal(self, number: int) -> None:
        """Keep no more who logged a model."""
        ...

    def touch(self, number: int, *, now_ms: int) -> None:
        """Record that it changed."""
        ...

    def get_params(self, number: int, keys: Sequence[str]) -> dict[str, str]:
        """The values of those keys that are there."""
        ...

    def add_params(self, number: int, params: Sequence[Param]) -> None:
        """Add params; the caller made sure that the keys are free."""
        ...

    def change_tags(self, number: int, changes: TagChanges) -> None:
        """Set and remove tags; absent keys are passed over."""
        ...

    def load_data(
        self, models: Iterable[ModelInfo], mask: Mask = EVERYTHING, visible_to: Viewer | None = None
    ) -> dict[int, ModelData]:
        """What many models hold, as far as it is wanted; every model has an entry.

        Of registrations those are left out that ``visible_to`` may not read.
        """
        ...

    def list_params(self, number: int, after: str, limit: int) -> list[Param]:
        """Params with keys after ``after``, in order of keys."""
        ...

    def list_tags(self, number: int, after: str, limit: int) -> list[Tag]:
        """Tags with keys after ``after``, in order of keys."""
        ...

    def list_metrics(self, number: int, after: tuple[str, str, str], limit: int) -> list[Metric]:
        """The newest points, in order of (key, dataset name, dataset digest), after ``after``."""
        ...

    def list_registrations(
        self, model_id: str, visible_to: Viewer | None, after: tuple[str, int], limit: int
    ) -> list[ModelRegistration]:
        """Versions made of a model that ``visible_to`` may read, in order of (name, version), after ``after``."""
        ...

    def search(self, query: SearchQuery, after: Position | None, limit: int) -> list[Found[ModelInfo]]:
        """Those that match, from the one after ``after`` on."""
        ...
