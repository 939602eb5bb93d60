"""Runs and what they log."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast.entities import _html
from holdfast.entities._run_handle import RunHandle


class RunStatus(str, enum.Enum):
    """Where a run stands. Members equal their names, so ``run.info.status == RunStatus.FINISHED`` holds."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    __str__ = str.__str__

    @staticmethod
    def to_string(status: str) -> str:
        """The name of a status."""
        return RunStatus(status).value

    @staticmethod
    def from_string(name: str) -> RunStatus:
        """The status of a name."""
        return RunStatus(name)

    @staticmethod
    def is_terminated(status: str) -> bool:
        """Whether a run of this status has ended."""
        return RunStatus(status) in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured point.

    Attributes:
        key: Its name.
        value: Any float, also NaN and infinities.
        timestamp: When it was measured, milliseconds since 1970, UTC; None when logging: now.
        step: Position in training.
        model_id: The logged model it describes; None for the run alone.
        dataset_name: The dataset it was measured on.
        dataset_digest: That dataset's digest.
        run_id: The run that logged it, where that is known.
    """

    key: str
    value: float
    timestamp: int | None = None
    step: int = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """An input of a run that never changes."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class RunTag:
    """A label of a run."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class InputTag:
    """A label of a dataset's use, such as ``mlflow.data.context``."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a run read, described. Schema and profile are JSON texts, or None when unknown."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset that runs of an experiment read; ``context`` is what for, such as ``"training"``, or None."""

    experiment_id: str
    name: str
    digest: str
    context: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A dataset's use by a run."""

    dataset: Dataset
    tags: list[InputTag] = field(default_factory=list, hash=False)


@dataclass(frozen=True, slots=True)
class LoggedModelInput:
    """A logged model that a run read."""

    model_id: str


@dataclass(frozen=True, slots=True)
class LoggedModelOutput:
    """A logged model that a run produced, and the step of training at which it did."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or directory among artifacts.

    Attributes:
        path: From the root of the artifacts, ``/``-separated.
        is_dir: Whether it is a directory.
        file_size: Bytes; None for directories.
        digest: Of the content, 64 hex digits; up to 8 MiB what ``sha256sum`` prints. None for directories.
    """

    path: str
    is_dir: bool
    file_size: int | None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What is known about a run itself.

    Attributes:
        run_id: 32 hex digits.
        experiment_id: The experiment it belongs to.
        run_name: Not unique.
        user_id: Who started it, as the client said.
        status: A name of ``RunStatus``.
        start_time: Milliseconds since 1970, UTC.
        end_time: The same; None while it goes on.
        lifecycle_stage: ``"active"`` or ``"deleted"``.
        artifact_uri: ``runs:/<run_id>``.
        lost: Whether it is RUNNING and its client does not renew its lease; it goes on when the client comes back.
    """

    run_id: str
    experiment_id: str
    run_name: str = ""
    user_id: str = ""
    status: str = "RUNNING"
    start_time: int | None = None
    end_time: int | None = None
    lifecycle_stage: str = "active"
    artifact_uri: str = ""
    lost: bool = False

    @property
    def shown_status(self) -> str:
        """The status for people: ``"LOST"`` in place of RUNNING where nobody is there to run it."""
        return "LOST" if self.lost else self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """What a run logged: the newest value of each metric, params and tags, by key.

    ``metric_points`` are the same newest points with step, time, model and dataset, in order of their keys.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metric_points: Sequence[Metric] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """What a run read."""

    dataset_inputs: list[DatasetInput] = field(default_factory=list)
    model_inputs: list[LoggedModelInput] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutputs:
    """What a run produced."""

    model_outputs: list[LoggedModelOutput] = field(default_factory=list)


@dataclass(frozen=True)
class Run(RunHandle):
    """One execution of training code, as it was when it was read; its methods act on the run as it is."""

    info: RunInfo
    data: RunData = field(default_factory=RunData)
    inputs: RunInputs = field(default_factory=RunInputs)
    outputs: RunOutputs = field(default_factory=RunOutputs)

    def __hash__(self) -> int:
        return hash(self.info.run_id)

    def to_dictionary(self) -> dict[str, Any]:
        """Everything as plain dicts and lists, as MLflow's does: of metrics the values."""
        data = {"metrics": dict(self.data.metrics), "params": dict(self.data.params), "tags": dict(self.data.tags)}
        return {
            "info": asdict(self.info),
            "data": data,
            "inputs": asdict(self.inputs),
            "outputs": asdict(self.outputs),
        }

    def _repr_html_(self) -> str:
        return _html.table(
            f"Run {self.info.run_name}",
            {
                "id": self.info.run_id,
                "experiment": self.info.experiment_id,
                "status": self.info.shown_status,
                "metrics": self.data.metrics,
                "params": self.data.params,
                "tags": {key: value for key, value in self.data.tags.items() if not key.startswith("mlflow.")},
            },
        )
