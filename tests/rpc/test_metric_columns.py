"""Points of a batch column by column: the same to the server as so many messages."""

from __future__ import annotations

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.v1 import run_service_pb2 as service
from holdfast.v1.experiment_pb2 import Tag
from holdfast.v1.metric_columns_pb2 import MetricColumns, MetricSeries
from holdfast.v1.run_pb2 import Metric, Param

FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999


@pytest.fixture
async def run(runs):
    return (await runs.CreateRun(service.CreateRunRequest())).run


async def log(runs, run_id, **fields):
    return await runs.LogBatch(service.LogBatchRequest(run_id=run_id, **fields))


async def history(runs, run_id, key):
    return (await runs.ListMetricHistory(service.ListMetricHistoryRequest(run_id=run_id, key=key))).metrics


def point(key, value, step, ms, **names):
    return Metric(key=key, value=value, step=step, timestamp=Timestamp(seconds=ms // 1000), **names)


async def test_columns_are_the_same_points_as_messages(runs, run):
    columns = MetricColumns(
        series=[MetricSeries(key="a"), MetricSeries(key="b", dataset_name="iris", dataset_digest="1")],
        series_positions=[0, 1, 0, 1],
        values=[1.5, -0.0, math.inf, 3.0],
        steps=[-7, 2, 1 << 62, 3],
        times_ms=[5_000, FIRST_MS, 6_000, LAST_MS // 1000 * 1000],
    )
    await log(runs, run.run_id, metric_columns=columns)
    assert list(await history(runs, run.run_id, "a")) == [
        point("a", 1.5, -7, 5_000),
        point("a", math.inf, 1 << 62, 6_000),
    ]
    names = {"dataset_name": "iris", "dataset_digest": "1"}
    found = list(await history(runs, run.run_id, "b"))
    assert found == [point("b", -0.0, 2, FIRST_MS, **names), point("b", 3.0, 3, LAST_MS // 1000 * 1000, **names)]
    assert math.copysign(1, found[0].value) == -1


async def test_absent_columns_are_the_first_series_step_0_and_the_time_of_the_server(runs, run):
    await log(runs, run.run_id, metric_columns=MetricColumns(series=[MetricSeries(key="m")], values=[1, 2, math.nan]))
    found = await history(runs, run.run_id, "m")
    assert [m.step for m in found] == [0, 0, 0]
    assert math.isnan(found[2].value)
    assert {m.timestamp.ToMilliseconds() >= run.start_time.ToMilliseconds() for m in found} == {True}


async def test_a_stream_counts_points_in_columns_behind_those_in_messages(runs, run):
    columns = MetricColumns(series=[MetricSeries(key="m")], values=[1, 2, 3])
    fields = {"metrics": [Metric(key="m", value=0)], "metric_columns": columns, "writer_id": "w"}
    for _ in range(2):
        assert (await log(runs, run.run_id, **fields)).next_writer_sequence == 4
    fields["writer_sequence"] = 2  # of which the first two points came before, and two more are new
    assert (await log(runs, run.run_id, **fields)).next_writer_sequence == 6
    assert [m.value for m in await history(runs, run.run_id, "m")] == [0, 1, 2, 3, 2, 3]


M = MetricSeries(key="m")


BROKEN = [
    ("no series", MetricColumns(values=[1]), "INVALID_VALUE", "series_positions[0] is 0, a series that is not there"),
    (
        "series that is not there",
        MetricColumns(series=[M], values=[1, 2], series_positions=[0, 7]),
        "INVALID_VALUE",
        "metric_columns.series_positions[1] is 7, a series that is not there: metric_columns.series has 1",
    ),
    ("short", MetricColumns(series=[M], values=[1, 2], steps=[1]), "INVALID_VALUE", "1 elements for 2 values"),
    ("without values", MetricColumns(series=[M], steps=[1]), "INVALID_VALUE", "1 elements for 0 values"),
    (
        "late",
        MetricColumns(series=[M], values=[1, 2], times_ms=[0, LAST_MS + 1]),
        "INVALID_VALUE",
        f"metric_columns.times_ms[1] is {LAST_MS + 1}; metric_columns.times_ms holds milliseconds",
    ),
    ("early", MetricColumns(series=[M], values=[1], times_ms=[FIRST_MS - 1]), "INVALID_VALUE", "1 to 9999"),
    ("key", MetricColumns(series=[MetricSeries(key="!")], values=[1]), "INVALID_NAME", "metric key"),
    (
        "digest",
        MetricColumns(series=[MetricSeries(key="m", dataset_digest="d" * 37)], values=[1]),
        "LIMIT_EXCEEDED",
        "The dataset digest of metric 'm'",
    ),
    ("many series", MetricColumns(series=[M] * 1_001, values=[1]), "LIMIT_EXCEEDED", "1001 series"),
    ("many", MetricColumns(series=[M], values=[1] * 1_001), "LIMIT_EXCEEDED", "1001 metrics"),
]


@pytest.mark.parametrize("broken", [pytest.param(rest, id=name) for name, *rest in BROKEN])
async def test_columns_that_break_a_rule_are_refused_whole(runs, run, refused, broken):
    columns, reason, text = broken
    error = await refused(log(runs, run.run_id, metric_columns=columns), "INVALID_ARGUMENT", reason)
    assert text in error.message
    assert not await history(runs, run.run_id, "m")


FIELDS = [
    (
        {"metric_columns": MetricColumns(series=[MetricSeries(key="!")], values=[1])},
        "INVALID_NAME",
        "metric_columns.series",
    ),
    (
        {"metric_columns": MetricColumns(series=[MetricSeries(key="m", dataset_digest="d" * 37)], values=[1])},
        "LIMIT_EXCEEDED",
        "metric_columns.series.dataset_digest",
    ),
    ({"metric_columns": MetricColumns(series=[M] * 1_001)}, "LIMIT_EXCEEDED", "metric_columns.series"),
    ({"metrics": [Metric(key="!")]}, "INVALID_NAME", "metrics"),
    ({"metrics": [Metric(key="m", dataset_name="n" * 501)]}, "LIMIT_EXCEEDED", "metrics.dataset_name"),
    ({"metrics": [Metric(key="m", timestamp=Timestamp(nanos=-1))]}, "INVALID_VALUE", "metrics.timestamp"),
]


@pytest.mark.parametrize("broken", FIELDS)
async def test_a_refusal_names_the_field_that_the_metric_came_in(runs, run, refused, broken):
    fields, reason, field = broken
    error = await refused(log(runs, run.run_id, **fields), "INVALID_ARGUMENT", reason)
    assert error.field == field


@pytest.mark.parametrize("what", ["metrics", "params", "tags"])
async def test_too_many_are_refused_before_each_is_looked_at(runs, run, refused, what):
    """A request has room for many thousands; the first of these breaks a rule, which would be told if it was read."""
    one = {"metrics": Metric(key="!"), "params": Param(key="!"), "tags": Tag(key="!")}[what]
    error = await refused(log(runs, run.run_id, **{what: [one] * 1_001}), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    assert error.message.startswith(f"1001 {what} are too many")


async def test_messages_and_columns_are_counted_together(runs, run, refused):
    columns = MetricColumns(series=[M], values=[1] * 600)
    call = log(runs, run.run_id, metrics=[Metric(key="m")] * 401, metric_columns=columns)
    await refused(call, "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
