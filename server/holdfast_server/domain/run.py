"""Runs and what they log."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from holdfast_server.domain.experiment import Lifecycle, Tag
from holdfast_server.domain.names import check_count, check_key, check_length, shown
from holdfast_server.errors import InvalidArgument, Reason

MAX_METRICS_PER_BATCH = 1_000
MAX_PARAMS_PER_BATCH = 100
MAX_LINKS_PER_REQUEST = 100
MAX_BATCH_BYTES = 1 << 20
MAX_PARAM_VALUE = 6_000
MAX_DATASET_NAME = 500
MAX_DATASET_DIGEST = 36
MAX_DATASET_SOURCE = 65_535
MAX_DATASET_JSON_BYTES = 1 << 20
MAX_DATASET_TAGS = 100
RUN_NAME_TAG = "mlflow.runName"
DATASET_CONTEXT_TAG = "mlflow.data.context"
_INT64 = 1 << 63
_VALUE, _ORDER = attrgetter("value"), attrgetter("step", "timestamp", "value")


class RunStatus(str, enum.Enum):
    """Where a run stands."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Param(NamedTuple):
    """An input that never changes. ``parse`` checks what callers send; rows are trusted.

    A tuple, as ``Metric`` and ``Tag`` are: batches and pages have thousands, which take a third of the
    time to make that frozen dataclasses do.
    """

    key: str
    value: str

    @classmethod
    def parse(cls, key: str, value: str) -> Param:
        """A caller's param.

        Raises:
            InvalidArgument: INVALID_NAME for the key, LIMIT_EXCEEDED for the value.
        """
        check_key(key, what="A param key", field="params")
        return cls(key, check_length(value, MAX_PARAM_VALUE, what=f"The value of param {shown(key)}", field="params"))

    @classmethod
    def parse_all(cls, pairs: Iterable[tuple[str, str]]) -> tuple[Param, ...]:
        """The params of one request.

        Raises:
            InvalidArgument: As ``parse``; also for more than 100, or a key that comes twice.
        """
        pairs = list(pairs)
        check_count(len(pairs), MAX_PARAMS_PER_BATCH, what="params", field="params")
        params = [cls.parse(key, value) for key, value in pairs]
        seen: set[str] = set()
        for param in params:
            if param.key in seen:
                raise InvalidArgument(
                    f"Param {shown(param.key)} comes twice in one request; a param has one value.", field="params"
                )
            seen.add(param.key)
        return tuple(params)


class Metric(NamedTuple):
    """One measured point. ``timestamp`` is milliseconds since 1970; empty texts mean none named.

    ``run_id`` is the run that logged it, where a point is shown apart from its run.
    """

    key: str
    value: float
    timestamp: int
    step: int
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""
    run_id: str = ""

    @property
    def order(self) -> tuple[int, int, float]:
        """Decides which point of a key is the newest; NaN counts as 0, as in MLflow."""
        return (self.step, self.timestamp, self.value if self.value == self.value else 0.0)  # NaN differs from itself

    @staticmethod
    def newest(metrics: Sequence[Metric]) -> Metric:
        """The newest of some points, of which there is at least one; the first of several that are equally new."""
        if math.isnan(sum(map(_VALUE, metrics))):
            return max(metrics, key=lambda metric: metric.order)
        return max(metrics, key=_ORDER)  # without a NaN that is `order`, and takes a third of the time


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a run read, described; identified within its experiment by name and digest."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""

    @classmethod
    def parse(cls, *, name: str, digest: str, source_type: str, source: str, schema: str, profile: str) -> Dataset:
        """A caller's dataset.

        Raises:
            InvalidArgument: A text is over its limit, or name or digest are empty.
        """
        for value, what in ((name, "name"), (digest, "digest")):
            if not value:
                raise InvalidArgument(
                    f"A dataset needs a {what}.", reason=Reason.INVALID_NAME, field=f"datasets.{what}"
                )
        check_length(name, MAX_DATASET_NAME, what="The dataset's name", field="datasets.name")
        check_length(digest, MAX_DATASET_DIGEST, what="The dataset's digest", field="datasets.digest")
        check_length(source_type, MAX_DATASET_NAME, what="The dataset's source type", field="datasets.source_type")
        check_length(source, MAX_DATASET_SOURCE, what="The dataset's source", field="datasets.source")
        for value, what in ((schema, "schema"), (profile, "profile")):
            if len(value.encode()) > MAX_DATASET_JSON_BYTES:
                raise InvalidArgument(
                    f"The {what} of dataset {shown(name)} is larger than {MAX_DATASET_JSON_BYTES} bytes, which is the"
                    " limit. Log it as an artifact.",
                    reason=Reason.LIMIT_EXCEEDED,
                    field=f"datasets.{what}",
                )
        return cls(name, digest, source_type, source, schema, profile)


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset that runs of an experiment read; ``context`` empty: they do not say what for."""

    experiment_id: int
    name: str
    digest: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A dataset used by a run, with labels of this use."""

    dataset: Dataset
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A logged model that a run produced, at a step."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run without what it logged. Times are milliseconds since 1970.

    ``number`` is the storage's own name for it. ``lost``: it is RUNNING, and its client did not renew its lease.
    """

    number: int
    id: str
    experiment_id: int
    name: str
    user_id: str
    status: RunStatus
    lifecycle: Lifecycle
    start_time: int
    end_time: int | None
    lost: bool = False

    @property
    def is_active(self) -> bool:
        """Whether it is not deleted."""
        return self.lifecycle is Lifecycle.ACTIVE


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run logged, or a page of it; metrics are the newest points."""

    params: tuple[Param, ...] = ()
    tags: tuple[Tag, ...] = ()
    metrics: tuple[Metric, ...] = ()
    dataset_inputs: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[str, ...] = ()
    model_outputs: tuple[ModelOutput, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run logs at once. ``writer_id`` empty: no stream."""

    metrics: tuple[Metric, ...] = ()
    params: tuple[Param, ...] = ()
    tags: tuple[Tag, ...] = ()
    deleted_tag_keys: tuple[str, ...] = ()
    writer_id: str = ""
    writer_sequence: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.writer_sequence < _INT64 - MAX_METRICS_PER_BATCH:
            raise InvalidArgument(
                f"A writer sequence is 0 or more, not {self.writer_sequence}.", field="writer_sequence"
            )
        if self.writer_sequence and not self.writer_id:
            raise InvalidArgument(
                "A writer sequence is a position in the stream of a writer, and the batch names none.",
                field="writer_id",
            )
        check_count(len(self.metrics), MAX_METRICS_PER_BATCH, what="metrics", field="metrics")
