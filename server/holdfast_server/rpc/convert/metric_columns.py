"""Points of metrics from columns, for the sake of batches: the work for each is that of making it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

from holdfast.v1 import metric_columns_pb2 as pb
from holdfast_server.domain.names import check_count, check_key, check_length, shown
from holdfast_server.domain.run import MAX_DATASET_DIGEST, MAX_DATASET_NAME, MAX_METRICS_PER_BATCH, Metric
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.times import check_ms

_FIELD = "metric_columns"


def columns_from_proto(columns: pb.MetricColumns, now_ms: int) -> list[Metric]:
    """Points of a request, checked; ``now_ms`` stands in for absent times.

    Raises:
        InvalidArgument: A key, time or name breaks its rule, a column is shorter or longer than the others, a point is
            of a series that is not there, or there are more points or series than one request may have.
    """
    count = check_count(len(columns.values), MAX_METRICS_PER_BATCH, what="metrics", field=_FIELD)
    check_count(len(columns.series), MAX_METRICS_PER_BATCH, what="series", field=f"{_FIELD}.series")
    for name in ("series_positions", "steps", "times_ms"):
        length = len(getattr(columns, name))
        if length not in {0, count}:
            raise InvalidArgument(
                f"{_FIELD}.{name} has {length} elements for {count} values; it has as many, or none.",
                field=f"{_FIELD}.{name}",
            )
    series = [_checked(one) for one in columns.series]
    positions: Iterable[int] = columns.series_positions or repeat(0, count)
    if count and max(columns.series_positions, default=0) >= len(series):
        at, wrong = next((at, one) for at, one in enumerate(columns.series_positions or [0]) if one >= len(series))
        raise InvalidArgument(
            f"{_FIELD}.series_positions[{at}] is {wrong}, a series that is not there: {_FIELD}.series has "
            f"{len(series)}.",
            field=f"{_FIELD}.series_positions",
        )
    steps: Iterable[int] = columns.steps or repeat(0, count)
    times: Iterable[int] = check_ms(columns.times_ms, field=f"{_FIELD}.times_ms") or repeat(now_ms, count)
    return [
        Metric(key, value, time, step, model_id, dataset_name, dataset_digest)
        for (key, model_id, dataset_name, dataset_digest), value, time, step in zip(
            map(series.__getitem__, positions), columns.values, times, steps, strict=True
        )
    ]


def check_metric_names(key: str, dataset_name: str, dataset_digest: str, *, field: str) -> None:
    """Check what names a metric, which is in ``field`` of the request.

    Raises:
        InvalidArgument: One breaks its rule.
    """
    check_key(key, what="A metric key", field=field)
    if dataset_name or dataset_digest:
        of = f"of metric {shown(key)}"
        check_length(dataset_name, MAX_DATASET_NAME, what=f"The dataset name {of}", field=f"{field}.dataset_name")
        check_length(
            dataset_digest, MAX_DATASET_DIGEST, what=f"The dataset digest {of}", field=f"{field}.dataset_digest"
        )


def _checked(series: pb.MetricSeries) -> tuple[str, str, str, str]:
    check_metric_names(series.key, series.dataset_name, series.dataset_digest, field=f"{_FIELD}.series")
    return series.key, series.model_id, series.dataset_name, series.dataset_digest
