"""Roll-ups of metrics with many points, kept when points are written: what a chart of any of their steps is made of.

Buckets have the same number of steps, a power of two, so that several make one of a chart without a remainder and
without a number that overflows. When there are too many, they become wider. Steps may come in any order and lie as far
apart as they like: only buckets with points have rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast_server.domain.metric_chart import MetricBucket, StepRange
from holdfast_server.domain.run import Metric
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.stored_values import restored, stored

# A chart of so many points is made of the points, however narrow its buckets are. So fewer points need no roll-up,
# which would cost each batch more than it saves; most metrics have fewer.
MOST_READ = 16_384
ROLLED_FROM = MOST_READ
# A roll-up is made wider when it has more buckets, and then begins with a few, so that this happens seldom.
MOST_BUCKETS, FIRST_BUCKETS = 8_192, 2_048

_KEEP = """
INSERT INTO metric_buckets (run_no, key, bucket, points, nans, minimum, maximum,
  first_step, last_step, last_time, last_value, last_special)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_no, key, bucket) DO UPDATE SET
  points = metric_buckets.points + excluded.points,
  nans = metric_buckets.nans + excluded.nans,
  minimum = MIN(COALESCE(metric_buckets.minimum, excluded.minimum), COALESCE(excluded.minimum, metric_buckets.minimum)),
  maximum = MAX(COALESCE(metric_buckets.maximum, excluded.maximum), COALESCE(excluded.maximum, metric_buckets.maximum)),
  first_step = MIN(metric_buckets.first_step, excluded.first_step),
  last_step = MAX(metric_buckets.last_step, excluded.last_step),
  last_time = IIF({newer}, excluded.last_time, metric_buckets.last_time),
  last_value = IIF({newer}, excluded.last_value, metric_buckets.last_value),
  last_special = IIF({newer}, excluded.last_special, metric_buckets.last_special)
""".format(
    newer="(excluded.last_step, excluded.last_time, excluded.last_value)"
    " > (metric_buckets.last_step, metric_buckets.last_time, metric_buckets.last_value)"
)
_OF_SERIES = "run_no = ? AND key = ?"

Buckets = dict[int, MetricBucket]


class SqlMetricBuckets:
    """The part of ``MetricRepository`` that is about charts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run_number: int, by_key: Mapping[str, Sequence[Metric]]) -> None:
        """Count points that were just written, of those keys that have many.

        One roll-up at most is begun: keys that are logged together have many points together, and each reads them all.
        Without a roll-up a chart is only slower; the next batch or ``begin_next`` begins another.
        """
        is_begun = False
        for keys in chunks(list(by_key)):
            rows = self._connection.execute(
                f"SELECT key, bucket_shift FROM latest_metrics WHERE run_no = ? AND key IN ({marks(len(keys))})"  # noqa: S608
                " AND points >= ?",
                (run_number, *keys, ROLLED_FROM),
            ).fetchall()
            for key, shift in rows:
                if shift is None:
                    if not is_begun:
                        self._begin(run_number, key)
                    is_begun = True
                else:
                    points = ((m.step, m.timestamp, m.value) for m in by_key[key])
                    self._keep(run_number, key, _rolled_up(points, shift))
                    self._widen_if_full(run_number, key, shift)

    def begin_next(self) -> int:
        """Begin one of the roll-ups that are still to be begun, if there is any; returns how many: 1 or 0."""
        row = self._connection.execute(
            "SELECT run_no, key FROM latest_metrics WHERE bucket_shift IS NULL AND points >= 16384 LIMIT 1"
        ).fetchone()
        if row is not None:
            self._begin(row["run_no"], row["key"])
        return 0 if row is None else 1

    def find(self, run_number: int, key: str, steps: StepRange, most: int) -> list[MetricBucket]:
        """The points of some steps in at most ``most`` buckets, in order of steps."""
        ends = self._ends(run_number, key, steps)
        if ends is None:
            return []
        steps = StepRange(*ends)
        row = self._connection.execute(
            f"SELECT bucket_shift FROM latest_metrics WHERE {_OF_SERIES}",  # noqa: S608 - of constants
            (run_number, key),
        ).fetchone()
        kept = row["bucket_shift"]
        shift = _shift_for(steps, max(most, 2))  # however wide, no bucket has steps on both sides of 0
        if kept is None or self._count(run_number, key, steps, kept) <= MOST_READ:
            buckets = _rolled_up(self._points(run_number, key, steps), shift)
        else:
            buckets = _widened(self._kept(run_number, key, steps, kept), max(shift - kept, 0))
        found = [bucket for _, bucket in sorted(buckets.items())]
        return found if len(found) <= most else [_joined(found)]

    def _begin(self, run_number: int, key: str) -> None:
        """Make the roll-up of all points that there are."""
        shift, buckets = 0, Buckets()
        for step, timestamp, value in self._points(run_number, key, StepRange()):
            bucket = buckets.get(step >> shift)
            if bucket is None:
                bucket = buckets[step >> shift] = MetricBucket()
            bucket.add(step, timestamp, value)
            if len(buckets) > MOST_BUCKETS:
                by = _widening(buckets)
                shift, buckets = shift + by, _widened(buckets, by)
        by = _widening(buckets)
        self._replace(run_number, key, shift + by, _widened(buckets, by))

    def _widen_if_full(self, run_number: int, key: str, shift: int) -> None:
        first, last = self._connection.execute(
            f"SELECT (SELECT MIN(bucket) FROM metric_buckets WHERE {_OF_SERIES}),"  # noqa: S608 - of constants
            f" (SELECT MAX(bucket) FROM metric_buckets WHERE {_OF_SERIES})",
            (run_number, key, run_number, key),
        ).fetchone()
        if last - first < MOST_BUCKETS:  # far from each other says nothing about how many lie between
            return
        count = f"SELECT COUNT(*) FROM metric_buckets WHERE {_OF_SERIES}"  # noqa: S608 - of constants
        if self._connection.execute(count, (run_number, key)).fetchone()[0] > MOST_BUCKETS:
            buckets = self._load(run_number, key, first, last)
            by = _widening(buckets)
            self._replace(run_number, key, shift + by, _widened(buckets, by))

    def _replace(self, run_number: int, key: str, shift: int, buckets: Buckets) -> None:
        self._connection.execute(f"DELETE FROM metric_buckets WHERE {_OF_SERIES}", (run_number, key))  # noqa: S608
        self._keep(run_number, key, buckets)
        self._connection.execute(
            f"UPDATE latest_metrics SET bucket_shift = ? WHERE {_OF_SERIES}",  # noqa: S608 - of constants
            (shift, run_number, key),
        )

    def _keep(self, run_number: int, key: str, buckets: Buckets) -> None:
        self._connection.executemany(
            _KEEP,
            [
                (run_number, key, number, b.points, b.nans, b.minimum, b.maximum,
                 b.first_step, b.last_step, b.last_time, *stored(b.last_value))
                for number, b in buckets.items()
            ],
        )  # fmt: skip

    def _ends(self, run_number: int, key: str, steps: StepRange) -> tuple[int, int] | None:
        """The least and the greatest of some steps that have points; None when none has."""
        first, last = self._connection.execute(
            f"SELECT (SELECT MIN(step) FROM metric_points WHERE {_OF_SERIES} AND step >= ?),"  # noqa: S608 - of constants
            f" (SELECT MAX(step) FROM metric_points WHERE {_OF_SERIES} AND step <= ?)",
            (run_number, key, steps.first, run_number, key, steps.last),
        ).fetchone()
        return None if first is None or last is None or first > last else (first, last)

    def _count(self, run_number: int, key: str, steps: StepRange, shift: int) -> int:
        """How many points the buckets have in which some steps lie."""
        row = self._connection.execute(
            f"SELECT SUM(points) FROM metric_buckets WHERE {_OF_SERIES} AND bucket BETWEEN ? AND ?",  # noqa: S608
            (run_number, key, steps.first >> shift, steps.last >> shift),
        ).fetchone()
        return int(row[0])

    def _kept(self, run_number: int, key: str, steps: StepRange, shift: int) -> Buckets:
        """What is kept of some steps. Of the first and last bucket only what lies within, read point by point."""
        first, last = steps.first >> shift, steps.last >> shift
        buckets = self._load(run_number, key, first, last)
        for number in {first, last}:
            bucket = buckets[number]
            if bucket.first_step < steps.first or bucket.last_step > steps.last:
                within = StepRange(max(bucket.first_step, steps.first), min(bucket.last_step, steps.last))
                buckets |= _rolled_up(self._points(run_number, key, within), shift)
        return buckets

    def _load(self, run_number: int, key: str, first: int, last: int) -> Buckets:
        rows = self._connection.execute(
            "SELECT bucket, points, nans, minimum, maximum, first_step, last_step, last_time, last_value, last_special"  # noqa: S608
            f" FROM metric_buckets WHERE {_OF_SERIES} AND bucket BETWEEN ? AND ?",
            (run_number, key, first, last),
        )
        return {row["bucket"]: _bucket_of(row) for row in rows}

    def _points(self, run_number: int, key: str, steps: StepRange) -> Iterable[tuple[int, int, float]]:
        rows: Any = self._connection.execute(
            f"SELECT step, timestamp, value, special FROM metric_points WHERE {_OF_SERIES}"  # noqa: S608 - of constants
            " AND step BETWEEN ? AND ?",
            (run_number, key, steps.first, steps.last),
        )
        return ((step, timestamp, restored(value, special)) for step, timestamp, value, special in rows)


def _bucket_of(row: Any) -> MetricBucket:
    points, nans, minimum, maximum, first_step, last_step, last_time, value, special = row[1:]
    return MetricBucket(points, nans, minimum, maximum, first_step, last_step, last_time, restored(value, special))


def _rolled_up(points: Iterable[tuple[int, int, float]], shift: int) -> Buckets:
    pieces: dict[int, list[tuple[int, int, float]]] = {}
    for point in points:
        pieces.setdefault(point[0] >> shift, []).append(point)
    buckets = {number: MetricBucket() for number in pieces}
    for number, piece in pieces.items():
        buckets[number].add_all(piece)
    return buckets


def _widened(buckets: Buckets, by: int) -> Buckets:
    """The same points in buckets of 2^by times as many steps."""
    if not by:
        return buckets
    wider: Buckets = {}
    for number, bucket in buckets.items():
        wider.setdefault(number >> by, MetricBucket()).merge(bucket)
    return wider


def _widening(buckets: Buckets) -> int:
    """By how much buckets have to be widened for there to be few."""
    by = 0
    while len({number >> by for number in buckets}) > FIRST_BUCKETS:
        by += 1
    return by


def _shift_for(steps: StepRange, most: int) -> int:
    """The narrowest buckets of which so many have all of the steps."""
    shift = 0
    while (steps.last >> shift) - (steps.first >> shift) >= most:
        shift += 1
    return shift


def _joined(buckets: Iterable[MetricBucket]) -> MetricBucket:
    one = MetricBucket()
    for bucket in buckets:
        one.merge(bucket)
    return one
