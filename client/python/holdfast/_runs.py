"""Runs as users see them and as they travel."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, overload

from holdfast._calls import build, tags_from_proto
from holdfast._checks import check_length, check_text, check_unicode, check_value
from holdfast._experiments import lifecycle_stage
from holdfast._times import check_ms, ms_from_proto, ms_to_proto, now_ms
from holdfast.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    MetricBucket,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunStatus,
)
from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_PARAM_VALUE
from holdfast.v1 import experiment_pb2, metric_chart_pb2, metric_columns_pb2, run_columns_pb2, run_pb2, run_service_pb2

_STATUS_PREFIX = "RUN_STATUS_"
MAX_STEP = 2**63 - 1
MAX_DATASET_NAME = 500
MAX_DATASET_DIGEST = 36
_CONTEXT_TAG = "mlflow.data.context"


def run_from_proto(proto: run_pb2.Run) -> Run:
    """A run as users see it, bound to no client."""
    return Run(
        info=RunInfo(
            run_id=proto.run_id,
            experiment_id=proto.experiment_id,
            run_name=proto.run_name,
            user_id=proto.user_id,
            status=status_from_proto(proto.status),
            start_time=ms_from_proto(proto.start_time) if proto.HasField("start_time") else None,
            end_time=ms_from_proto(proto.end_time) if proto.HasField("end_time") else None,
            lifecycle_stage=lifecycle_stage(proto.lifecycle_stage),
            artifact_uri=f"runs:/{proto.run_id}",
            lost=proto.lost,
        ),
        data=_data_of_columns(proto.columns) if proto.HasField("columns") else _data_of_lists(proto),
        inputs=RunInputs(
            dataset_inputs=[dataset_input_from_proto(item) for item in proto.dataset_inputs],
            model_inputs=[LoggedModelInput(item.model_id) for item in proto.model_inputs],
        ),
        outputs=RunOutputs(model_outputs=[LoggedModelOutput(item.model_id, item.step) for item in proto.model_outputs]),
    )


def _data_of_lists(proto: run_pb2.Run) -> RunData:
    return RunData(
        metrics=_newest(proto.metrics),
        params={param.key: param.value for param in proto.params},
        tags=tags_from_proto(proto.tags),
        metric_points=_ListedPoints(proto.metrics),
    )


def _data_of_columns(columns: run_columns_pb2.RunColumns) -> RunData:
    return RunData(
        metrics=dict(zip(columns.metric_keys, columns.metric_values, strict=True)),
        params=dict(zip(columns.param_keys, columns.param_values, strict=True)),
        tags=dict(zip(columns.tag_keys, columns.tag_values, strict=True)),
        metric_points=_ColumnPoints(columns),
    )


class _NewestPoints(Sequence[Metric]):
    """Points of a run, made when they are looked at: a table of runs has thousands, and shows their values."""

    __slots__ = ()

    def _point(self, index: int) -> Metric:
        """The one at an index from 0."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Metric: ...

    @overload
    def __getitem__(self, index: slice) -> list[Metric]: ...

    def __getitem__(self, index: int | slice) -> Metric | list[Metric]:
        places = range(len(self))[index]
        return self._point(places) if isinstance(places, int) else [self._point(place) for place in places]

    def __repr__(self) -> str:
        return repr(list(self))


class _ListedPoints(_NewestPoints):
    __slots__ = ("_protos",)

    def __init__(self, protos: Iterable[run_pb2.Metric]) -> None:
        self._protos = tuple(protos)

    def _point(self, index: int) -> Metric:
        return metric_from_proto(self._protos[index])

    def __len__(self) -> int:
        return len(self._protos)


class _ColumnPoints(_NewestPoints):
    __slots__ = ("_columns",)

    def __init__(self, columns: run_columns_pb2.RunColumns) -> None:
        self._columns = columns

    def _point(self, index: int) -> Metric:
        def name(texts: Sequence[str]) -> str | None:
            return texts[index] or None if texts else None

        columns = self._columns
        return Metric(
            key=columns.metric_keys[index],
            value=columns.metric_values[index],
            timestamp=columns.metric_times_ms[index],
            step=columns.metric_steps[index],
            model_id=name(columns.metric_model_ids),
            dataset_name=name(columns.metric_dataset_names),
            dataset_digest=name(columns.metric_dataset_digests),
        )

    def __len__(self) -> int:
        return len(self._columns.metric_keys)


def run_to_be(request: run_service_pb2.CreateRunRequest) -> run_pb2.Run:
    """A run as it will be once the server is there to create it."""
    return run_pb2.Run(
        run_id=request.run_id,
        experiment_id=request.experiment_id or "0",
        run_name=request.run_name,
        user_id=request.user_id,
        status=run_pb2.RUN_STATUS_RUNNING,
        start_time=request.start_time,
        tags=request.tags,
        lifecycle_stage=experiment_pb2.LIFECYCLE_STAGE_ACTIVE,
    )


def _newest(metrics: Iterable[run_pb2.Metric]) -> dict[str, float]:
    return {metric.key: metric.value for metric in metrics}


def status_from_proto(status: run_pb2.RunStatus) -> str:
    """The name of a status, such as ``"FINISHED"``."""
    return run_pb2.RunStatus.Name(status).removeprefix(_STATUS_PREFIX)


def status_to_proto(status: str) -> run_pb2.RunStatus:
    """The wire's value of a status.

    Raises:
        InvalidArgumentError: There is no such status.
    """
    try:
        return cast("run_pb2.RunStatus", run_pb2.RunStatus.Value(_STATUS_PREFIX + RunStatus(status).value))
    except ValueError:
        names = ", ".join(status.value for status in RunStatus)
        raise InvalidArgumentError(f"{status!r} is no status of a run: it is one of {names}.") from None


def metric_from_proto(proto: run_pb2.Metric, run_id: str | None = None) -> Metric:
    """A point as users see it."""
    return Metric(
        key=proto.key,
        value=proto.value,
        timestamp=ms_from_proto(proto.timestamp),
        step=proto.step,
        model_id=proto.model_id or None,
        dataset_name=proto.dataset_name or None,
        dataset_digest=proto.dataset_digest or None,
        run_id=proto.run_id or run_id,
    )


def metric_bucket_from_proto(proto: metric_chart_pb2.MetricBucket) -> MetricBucket:
    """A range of a metric's steps as users see it."""
    return MetricBucket(
        first_step=proto.first_step,
        last_step=proto.last_step,
        count=proto.point_count,
        nan_count=proto.nan_count,
        min=proto.minimum if proto.HasField("minimum") else None,
        max=proto.maximum if proto.HasField("maximum") else None,
        last=proto.last_value,
        last_timestamp=ms_from_proto(proto.last_time),
    )


def metric_to_proto(metric: Metric) -> run_pb2.Metric:
    """A point as it travels; one without a time gets this moment's."""
    return build(
        run_pb2.Metric,
        key=check_text(metric.key, "metric"),
        value=metric_value(metric.key, metric.value),
        timestamp=ms_to_proto(now_ms() if metric.timestamp is None else check_ms(metric.timestamp, metric.key)),
        step=metric_step(metric.key, metric.step),
        **_names_of(metric),
    )


def columns_of(metrics: Iterable[Metric]) -> metric_columns_pb2.MetricColumns:
    """Points as a batch takes them; those without a time get this moment's.

    Raises:
        InvalidArgumentError: One breaks a rule.
    """
    columns = metric_columns_pb2.MetricColumns()
    known: dict[tuple[Any, ...], int] = {}
    points: list[tuple[int, float, int, int]] = []
    now = now_ms()
    for metric in metrics:
        key, step, ms = metric.key, metric.step, metric.timestamp
        names = (key, metric.model_id, metric.dataset_name, metric.dataset_digest)
        try:
            position = known.get(names)
        except TypeError:  # no text, which is told below
            position = None
        if position is None:
            columns.series.append(_series_of(metric))
            position = known[names] = len(known)
        value = metric_value(key, metric.value)
        points.append((position, value, metric_step(key, step), now if ms is None else check_ms(ms, key)))
    if points:
        add_points(columns, points)
    return columns


def add_points(columns: metric_columns_pb2.MetricColumns, points: Iterable[tuple[int, float, int, int]]) -> None:
    """Add the points of all series of columns: for each the position of its series, value, step and milliseconds."""
    positions, values, steps, times = zip(*points, strict=True)
    if len(columns.series) > 1:
        columns.series_positions.extend(positions)
    columns.values.extend(values)
    columns.steps.extend(steps)
    columns.times_ms.extend(times)


def _series_of(metric: Metric) -> metric_columns_pb2.MetricSeries:
    key = check_text(metric.key, "metric")
    return build(metric_columns_pb2.MetricSeries, key=key, **_names_of(metric))


def _names_of(metric: Metric) -> dict[str, str]:
    """What a point describes, as it travels."""
    names = {}
    for field, value, limit in (
        ("model_id", metric.model_id, None),
        ("dataset_name", metric.dataset_name, MAX_DATASET_NAME),
        ("dataset_digest", metric.dataset_digest, MAX_DATASET_DIGEST),
    ):
        if value is None:
            continue
        text = check_unicode(value, f"{field} of metric {metric.key!r}")
        if limit is not None:
            check_length(text, f"{field} of metric {metric.key!r}", limit)
        names[field] = text
    return names


def metric_value(key: str, value: Any) -> float:
    """The float that a value means: any number, a text as ``float`` reads it, a tensor of one element.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    if isinstance(value, float):
        return value
    item = getattr(value, "item", None)
    try:
        number = item() if callable(item) else value
        if isinstance(number, (bytes, bytearray)):
            raise TypeError  # noqa: TRY301 - float() would read them as numbers
        return float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InvalidArgumentError(
            f"The value of metric {key!r} is one number, not {value!r:.80} of type {type(value).__name__}."
        ) from None


def metric_step(key: str, step: Any) -> int:
    """The step that a value means; 0 without one.

    Raises:
        InvalidArgumentError: It is no whole number of 64 bits.
    """
    if step is None:
        return 0
    try:
        # A float counts only when nothing is cut off: 2.0 is a step, 1.5 a mistake.
        number = int(step) if isinstance(step, float) and step.is_integer() else operator.index(step)
    except TypeError:
        number = MAX_STEP + 1
    if not -MAX_STEP - 1 <= number <= MAX_STEP:
        raise InvalidArgumentError(f"The step of metric {key!r} is a whole number of 64 bits, not {step!r:.80}.")
    return number


def param_to_proto(param: Param) -> run_pb2.Param:
    """A param as it travels; values become text, as MLflow's do."""
    key = check_text(param.key, "param")
    return run_pb2.Param(key=key, value=check_value(key, param.value, "param", MAX_PARAM_VALUE))


def params_to_proto(params: Mapping[str, Any] | None) -> list[run_pb2.Param]:
    """Params as they travel.

    Raises:
        InvalidArgumentError: One breaks a rule, or ``params`` is no dictionary.
    """
    if params is not None and not isinstance(params, Mapping):
        raise InvalidArgumentError(f"params must be a dictionary, not {type(params).__name__}.")
    return [param_to_proto(Param(key, value)) for key, value in (params or {}).items()]


def check_metrics(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``metrics`` if they are values by key.

    Raises:
        InvalidArgumentError: They are no dictionary.
    """
    if not isinstance(metrics, Mapping):
        raise InvalidArgumentError(f"metrics must be a dictionary, not {type(metrics).__name__}.")
    return metrics


def points_to_proto(
    points: Iterable[tuple[str, Any]],
    step: int | None,
    timestamp: int | None,
    *,
    model_id: str | None,
    dataset_name: str | None,
    dataset_digest: str | None,
) -> list[run_pb2.Metric]:
    """Values by key, of one step and time, as they travel.

    Raises:
        InvalidArgumentError: One breaks a rule.
    """
    at = now_ms() if timestamp is None else timestamp
    return [
        metric_to_proto(Metric(key, value, at, step or 0, model_id, dataset_name, dataset_digest))
        for key, value in points
    ]


def dataset_input_from_proto(proto: run_pb2.DatasetInput) -> DatasetInput:
    """A dataset's use as users see it."""
    dataset = proto.dataset
    return DatasetInput(
        dataset=Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema or None,
            profile=dataset.profile or None,
        ),
        tags=[InputTag(tag.key, tag.value) for tag in proto.tags],
    )


def dataset_input_to_proto(value: DatasetInput) -> run_pb2.DatasetInput:
    """A dataset's use as it travels."""
    dataset = value.dataset
    return run_pb2.DatasetInput(
        dataset=build(
            run_pb2.Dataset,
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema or "",
            profile=dataset.profile or "",
        ),
        tags=[
            build(experiment_pb2.Tag, key=tag.key, value=check_value(tag.key, tag.value, "tag")) for tag in value.tags
        ],
    )


def dataset_from_any(value: Any) -> Dataset:
    """Our dataset of an MLflow-like one, which describes itself by ``to_dict()``.

    Raises:
        InvalidArgumentError: It does not.
    """
    if isinstance(value, Dataset):
        return value
    describe = getattr(value, "to_dict", None)
    described = describe() if callable(describe) else value
    if not isinstance(described, dict) or not {"name", "digest", "source_type", "source"} <= described.keys():
        raise InvalidArgumentError(
            f"A dataset is a holdfast.entities.Dataset, or has to_dict() with name, digest, source_type and source; "
            f"{type(value).__name__} is neither."
        )
    return Dataset(
        name=described["name"],
        digest=described["digest"],
        source_type=described["source_type"],
        source=described["source"],
        schema=described.get("schema"),
        profile=described.get("profile"),
    )


def dataset_inputs(
    datasets: Sequence[Any] | None,
    contexts: Sequence[str | None] | None,
    tags_list: Sequence[Mapping[str, Any] | None] | None,
) -> list[DatasetInput]:
    """Uses of datasets, each with its context and labels.

    Raises:
        InvalidArgumentError: The lists differ in length, or something in them is no dataset.
    """
    datasets = datasets or []
    contexts = contexts if contexts is not None else [None] * len(datasets)
    tags_list = tags_list if tags_list is not None else [None] * len(datasets)
    if not len(datasets) == len(contexts) == len(tags_list):
        raise InvalidArgumentError("log_inputs takes one context and one dict of tags for each dataset, or none.")
    inputs = []
    for dataset, context, tags in zip(datasets, contexts, tags_list, strict=True):
        labels = {**(tags or {}), **({_CONTEXT_TAG: context} if context else {})}
        inputs.append(
            DatasetInput(dataset_from_any(dataset), [InputTag(key, str(item)) for key, item in labels.items()])
        )
    return inputs


def dataset_key(dataset: Any) -> tuple[str | None, str | None]:
    """Name and digest of a dataset that a metric was measured on."""
    if dataset is None:
        return None, None
    described = dataset_from_any(dataset)
    return described.name, described.digest
