"""Points of metrics as users see them and as they travel."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from holdfast._calls import build
from holdfast._checks import check_length, check_text, check_unicode
from holdfast._times import check_ms, ms_from_proto, ms_to_proto, now_ms
from holdfast.entities import Metric, MetricBucket
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import metric_chart_pb2, metric_columns_pb2, run_columns_pb2, run_pb2

MAX_STEP = 2**63 - 1
MAX_DATASET_NAME = 500
MAX_DATASET_DIGEST = 36


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


class ListedPoints(_NewestPoints):
    """Points that came one by one."""

    __slots__ = ("_protos",)

    def __init__(self, protos: Iterable[run_pb2.Metric]) -> None:
        self._protos = tuple(protos)

    def _point(self, index: int) -> Metric:
        return metric_from_proto(self._protos[index])

    def __len__(self) -> int:
        return len(self._protos)


class ColumnPoints(_NewestPoints):
    """Points that came in columns."""

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
