"""Roll-ups of metrics against all of their points: whatever the values, steps and order, a chart loses none of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_server.domain.metric_chart import MAX_STEP, MIN_STEP, MetricBucket, StepRange
from holdfast_server.domain.run import Metric, RunStatus
from holdfast_server.errors import InvalidArgument
from holdfast_server.storage.sql import metric_buckets, metrics
from holdfast_server.storage.sql.connection import connect
from holdfast_server.storage.sql.metric_buckets import ROLLED_FROM
from holdfast_server.storage.sql.migrate import migrate
from holdfast_server.storage.sql.runs import SqlRuns

NUMBERS = itertools.count(1)
ALL = StepRange()


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("charts") / "holdfast.db"
    migrate(path)
    connection = connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    yield connection
    connection.close()


@pytest.fixture
def small_roll_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that happens to long metrics happens to short ones."""
    monkeypatch.setattr(metrics, "ROLLED_FROM", 6)
    for name, value in {"ROLLED_FROM": 6, "MOST_BUCKETS": 16, "FIRST_BUCKETS": 4, "MOST_READ": 3}.items():
        monkeypatch.setattr(metric_buckets, name, value)


class Run:
    """A run of its own, which is all that a test writes to."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.runs = connection, SqlRuns(connection)
        name = f"{next(NUMBERS):032x}"
        info = self.runs.create(
            run_id=name, experiment_id=0, name=name, user_id="", status=RunStatus.RUNNING, start_time=0, tags=()
        )
        self.number = info.number

    def log(self, points: list[Metric]) -> None:
        self.connection.execute("BEGIN")
        self.runs.add_metrics(self.number, points, {})
        self.connection.execute("COMMIT")

    def chart(self, most: int = 10, steps: StepRange = ALL, key: str = "m") -> list[MetricBucket]:
        return self.runs.list_metric_buckets(self.number, key, steps, most)

    def shift(self, key: str = "m") -> int | None:
        row = self.connection.execute(
            "SELECT bucket_shift FROM latest_metrics WHERE run_no = ? AND key = ?", (self.number, key)
        ).fetchone()
        return None if row is None else row[0]


def point(step: int, value: float, timestamp: int = 0, key: str = "m") -> Metric:
    return Metric(key, value, timestamp, step)


def summed(points: list[Metric]) -> MetricBucket:
    """What a bucket of these points has to say, in the simplest words."""
    numbers = [p.value for p in points if not math.isnan(p.value)]
    newest = max(points, key=lambda p: p.order)
    return MetricBucket(
        points=len(points),
        nans=len(points) - len(numbers),
        minimum=min(numbers, default=None),
        maximum=max(numbers, default=None),
        first_step=min(p.step for p in points),
        last_step=newest.step,
        last_time=newest.timestamp,
        last_value=newest.value,
    )


def test_metrics_that_become_long_together_are_rolled_up_one_by_one(connection, small_roll_ups):
    """All of them at once would hold the write lock for seconds."""
    run, keys = Run(connection), ["a", "b", "c", "d"]
    for step in range(6):
        run.log([point(step, float(step), key=key) for key in keys])
    assert [run.shift(key) is not None for key in keys].count(True) == 1
    run.log([point(6, 6.0, key=key) for key in keys])
    assert [run.shift(key) is not None for key in keys].count(True) == 2
    # The upkeep begins the others; until then all points are read.
    charts = [run.chart(most=1, key=key) for key in keys]
    assert charts == [[summed([point(step, float(step)) for step in range(7)])]] * 4


def test_the_upkeep_begins_roll_ups_that_no_batch_begins(connection):
    run, keys = Run(connection), ["a", "b", "c"]
    for key in keys:
        run.log([point(step, float(step % 7), key=key) for step in range(ROLLED_FROM)])
    connection.execute("UPDATE latest_metrics SET bucket_shift = NULL WHERE run_no = ?", (run.number,))
    connection.execute("DELETE FROM metric_buckets WHERE run_no = ?", (run.number,))
    statement = "SELECT run_no, key FROM latest_metrics WHERE bucket_shift IS NULL AND points >= 16384 LIMIT 1"
    (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    assert "latest_metrics_without_chart" in plan["detail"]
    while run.runs.begin_metric_roll_up():
        pass
    assert None not in [run.shift(key) for key in keys]
    for key in keys:
        assert run.chart(most=1, key=key) == [summed([point(step, float(step % 7)) for step in range(ROLLED_FROM)])]


def comparable(bucket: MetricBucket) -> tuple[Any, ...]:
    last = bucket.last_value
    return (
        bucket.points, bucket.nans, bucket.minimum, bucket.maximum, bucket.first_step, bucket.last_step,
        bucket.last_time, 0.0 if math.isnan(last) else last,  # NaN and 0 are equally new
    )  # fmt: skip


def check(buckets: list[MetricBucket], points: list[Metric], most: int) -> None:
    """Buckets are few, in order, of one width that is aligned to itself, and have every point where it belongs."""
    assert len(buckets) <= most
    shift = next(
        shift
        for shift in range(65)
        if all(b.first_step >> shift == b.last_step >> shift for b in buckets) or len(buckets) == 1
    )
    groups: dict[int, list[Metric]] = {}
    if len(buckets) <= 1:
        groups = {0: points} if points else {}
    else:
        # Which of the points a bucket has is told by its ends; no two buckets share a step.
        for p in points:
            (at,) = [i for i, b in enumerate(buckets) if b.first_step <= p.step <= b.last_step]
            groups.setdefault(at, []).append(p)
        assert len({b.first_step >> shift for b in buckets}) == len(buckets)
    assert [comparable(b) for b in buckets] == [comparable(summed(groups[at])) for at in sorted(groups)]


STEPS = st.one_of(
    st.integers(-20, 60),
    st.integers(-20, 60),
    st.integers(-5_000, 5_000),
    st.sampled_from([MIN_STEP, MIN_STEP + 1, -1, 0, 1, 1 << 40, MAX_STEP - 1, MAX_STEP]),
)
VALUES = st.one_of(
    st.integers(-3, 3).map(float),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308]),
    st.floats(),
)
POINTS = st.builds(point, STEPS, VALUES, st.integers(0, 3))


@given(
    batches=st.lists(st.lists(POINTS, min_size=1, max_size=40), min_size=1, max_size=6),
    most=st.integers(1, 40),
    ends=st.none() | st.tuples(STEPS, STEPS),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_chart_has_every_point(small_roll_ups, connection, batches, most, ends) -> None:
    run = Run(connection)
    for batch in batches:
        run.log(batch)
    steps = StepRange(min(ends), max(ends)) if ends else ALL
    points = [p for batch in batches for p in batch if steps.first <= p.step <= steps.last]
    check(run.chart(most, steps), points, most)


@given(st.lists(POINTS, min_size=1, max_size=60), st.integers(2, 30))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_batch_or_many_make_the_same_chart(small_roll_ups, connection, points, most) -> None:
    one, many = Run(connection), Run(connection)
    one.log(points)
    for p in points:
        many.log([p])
    for steps in (ALL, StepRange(-7, 33)):
        points_there = [p for p in points if steps.first <= p.step <= steps.last]
        check(one.chart(most, steps), points_there, most)
        check(many.chart(most, steps), points_there, most)


def test_a_metric_that_is_short_has_no_roll_up(connection) -> None:
    run = Run(connection)
    run.log([point(step, step) for step in range(1_000)])
    assert run.shift() is None
    assert [b.last_step for b in run.chart(4)] == [255, 511, 767, 999]


def test_a_roll_up_grows_wider_with_the_metric(connection) -> None:
    """100,000 points in batches, as they are logged: sizes and speed at their real limits."""
    run, points = Run(connection), []
    for start in range(0, 100_000, 1_000):
        points += [point(step, math.sin(step), timestamp=step) for step in range(start, start + 1_000)]
        run.log(points[-1_000:])
    assert run.shift() == 4
    kept = connection.execute("SELECT COUNT(*) FROM metric_buckets WHERE run_no = ?", (run.number,)).fetchone()[0]
    assert kept == 100_000 / 16
    buckets = run.chart(1_000)
    assert len(buckets) == math.ceil(100_000 / 128)
    check(buckets, points, 1_000)
    some = StepRange(31_111, 77_777)
    check(run.chart(1_000, some), points[31_111:77_778], 1_000)
    few = StepRange(50_000, 50_999)
    assert len(run.chart(1_000, few)) == 1_000, "few points are shown one by one"


def test_keys_of_one_batch_have_roll_ups_of_their_own(small_roll_ups, connection) -> None:
    run = Run(connection)
    for start in range(0, 40, 10):
        steps = range(start, start + 10)
        run.log([point(s, s, key="a") for s in steps] + [point(s, -s, key="b") for s in steps] + [point(start, 1)])
    for key, sign in (("a", 1), ("b", -1)):
        check(run.chart(5, key=key), [point(s, sign * s, key=key) for s in range(40)], 5)
    assert run.shift("m") is None
    assert run.chart(key="absent") == []


def test_steps_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="between 2 and 1"):
        StepRange(2, 1)
