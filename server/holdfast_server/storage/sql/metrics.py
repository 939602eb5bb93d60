"""Rows of metrics: the history of points, the newest of each key, and how far each writer's stream is kept."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from holdfast_server.domain.metric_chart import MetricBucket, StepRange
from holdfast_server.domain.run import Metric
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.bulk import insert_rows
from holdfast_server.storage.sql.connection import Connection, plain_rows
from holdfast_server.storage.sql.key_values import among
from holdfast_server.storage.sql.metric_buckets import ROLLED_FROM, SqlMetricBuckets
from holdfast_server.storage.sql.stored_values import restored, stored

K = TypeVar("K", bound=Hashable)

_POINTS = """
metric_points (run_no, key, step, timestamp, point, value, special, model_id, dataset_name, dataset_digest)
"""
_POINT = ("step", "timestamp", "value", "special", "model_id", "dataset_name", "dataset_digest")
_NEWER = """
(excluded.step, excluded.timestamp, excluded.value)
  > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)
"""
# Counts the points also when none of them is the newest.
_KEEP_LATEST = f"""
INSERT INTO latest_metrics (run_no, key, {", ".join(_POINT)}, points)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_no, key) DO UPDATE SET points = latest_metrics.points + excluded.points,
  {", ".join(f"{name} = IIF({_NEWER}, excluded.{name}, latest_metrics.{name})" for name in _POINT)}
"""  # noqa: S608 - of constants
_KEEP_LATEST_OF_MODEL = """
INSERT INTO model_metrics (model_no, key, dataset_name, dataset_digest, step, timestamp, value, special, run_no)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (model_no, key, dataset_name, dataset_digest) DO UPDATE SET
  step = excluded.step, timestamp = excluded.timestamp, value = excluded.value, special = excluded.special,
  run_no = excluded.run_no
WHERE (excluded.step, excluded.timestamp, excluded.value)
  > (model_metrics.step, model_metrics.timestamp, model_metrics.value)
"""
_LAST = itemgetter(-1)
_COLUMNS = "key, value, special, timestamp, step, model_id, dataset_name, dataset_digest"


class SqlMetrics:
    """Implements ``MetricRepository``; the part of ``SqlRuns`` that is about metrics."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buckets = SqlMetricBuckets(connection)

    def add_metrics(
        self, run_number: int, metrics: Sequence[Metric], model_numbers: dict[str, int]
    ) -> dict[str, Metric]:
        """Append points and bring the newest ones up to date, of the run and of the models that they name.

        Returns the newest point of each key among them.
        """
        if not metrics:
            return {}
        row = self._connection.execute(
            "UPDATE runs SET points = points + ? WHERE run_no = ? RETURNING points", (len(metrics), run_number)
        ).fetchone()
        total = row["points"]
        insert_rows(self._connection, _POINTS, _point_rows(run_number, total - len(metrics), metrics))
        by_key = _grouped((metric.key, metric) for metric in metrics)
        latest = {key: Metric.newest(points) for key, points in by_key.items()}
        self._connection.executemany(
            _KEEP_LATEST,
            [
                (
                    run_number,
                    m.key,
                    m.step,
                    m.timestamp,
                    *stored(m.value),
                    m.model_id,
                    m.dataset_name,
                    m.dataset_digest,
                    len(by_key[m.key]),
                )
                for m in latest.values()
            ],
        )
        if total >= ROLLED_FROM:
            self._buckets.add(run_number, by_key)
        if model_numbers:
            self._keep_model_metrics(run_number, metrics, model_numbers)
        return latest

    def writer_mark(self, run_number: int, writer_id: str) -> int:
        """The position after the last metric kept of a writer; 0 for an unknown one."""
        row = self._connection.execute(
            "SELECT next_sequence FROM run_writers WHERE run_no = ? AND writer_id = ?", (run_number, writer_id)
        ).fetchone()
        return int(row["next_sequence"]) if row else 0

    def set_writer_mark(self, run_number: int, writer_id: str, next_sequence: int) -> None:
        """Move a writer's mark."""
        self._connection.execute(
            "INSERT INTO run_writers (run_no, writer_id, next_sequence) VALUES (?, ?, ?)"
            " ON CONFLICT (run_no, writer_id) DO UPDATE SET next_sequence = excluded.next_sequence",
            (run_number, writer_id, next_sequence),
        )

    def list_points(
        self, run_number: int, key: str, steps: StepRange, after: tuple[int, int, int] | None, limit: int
    ) -> list[tuple[Metric, tuple[int, int, int]]]:
        """Points of a key at some steps with their places (step, timestamp, number), from that after ``after`` on."""
        # One lower bound, so that it is the one that the index begins at.
        begin = "(step, timestamp, point) > (?, ?, ?)" if after else "step >= ?"
        rows = self._connection.execute(
            f"SELECT {_COLUMNS}, point FROM metric_points WHERE run_no = ? AND key = ? AND {begin} AND step <= ?"  # noqa: S608
            " ORDER BY step, timestamp, point LIMIT ?",
            (run_number, key, *(after or (steps.first,)), steps.last, limit),
        )
        return [(_point_of(row), (row["step"], row["timestamp"], row["point"])) for row in rows]

    def count_points(self, run_number: int) -> int:
        """How many points a run has."""
        return int(
            self._connection.execute("SELECT points FROM runs WHERE run_no = ?", (run_number,)).fetchone()["points"]
        )

    def list_arrived(self, run_number: int, first: int, limit: int) -> list[Metric]:
        """Points in order of arrival, from position ``first`` on; it looks at all points of the run.

        An index by arrival would cost each point that is logged some microseconds; this costs 110 ms for a million.
        """
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM metric_points WHERE run_no = ? AND point >= ? AND point < ? ORDER BY point",  # noqa: S608
            (run_number, first, first + limit),
        )
        return [_point_of(row) for row in rows]

    def begin_metric_roll_up(self) -> int:
        """Begin the roll-up of a long metric that has none; returns how many were begun: 1 or 0."""
        return self._buckets.begin_next()

    def list_metric_buckets(self, run_number: int, key: str, steps: StepRange, most: int) -> list[MetricBucket]:
        """The points of some steps in at most ``most`` buckets, in order of steps."""
        return self._buckets.find(run_number, key, steps, most)

    def list_latest_metrics(self, run_number: int, after: str, limit: int) -> list[Metric]:
        """The newest point of each key after ``after``, in order of keys."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM latest_metrics WHERE run_no = ? AND key > ? ORDER BY key LIMIT ?",  # noqa: S608
            (run_number, after, limit),
        )
        return [_point_of(row) for row in rows]

    def _load_latest(self, run_numbers: Sequence[int], keys: Sequence[str] | None) -> dict[int, list[Metric]]:
        found: dict[int, list[Metric]] = {}
        wanted, values = among(keys)
        for part in chunks(run_numbers) if keys is None or keys else ():
            rows = plain_rows(
                self._connection,
                f"SELECT {_COLUMNS}, run_no FROM latest_metrics WHERE run_no IN ({marks(len(part))}){wanted}"  # noqa: S608
                " ORDER BY run_no, key",
                (*part, *values),
            )
            for run_number, points in groupby(rows, _LAST):
                found[run_number] = [
                    Metric(key, restored(value, special) if special else value, time, step, model_id, name, digest)
                    for key, value, special, time, step, model_id, name, digest, _ in points
                ]
        return found

    def _keep_model_metrics(self, run_number: int, metrics: Sequence[Metric], model_numbers: dict[str, int]) -> None:
        groups = _grouped(
            ((m.model_id, m.key, m.dataset_name, m.dataset_digest), m) for m in metrics if m.model_id in model_numbers
        )
        self._connection.executemany(
            _KEEP_LATEST_OF_MODEL,
            [
                (
                    model_numbers[m.model_id],
                    m.key,
                    m.dataset_name,
                    m.dataset_digest,
                    m.step,
                    m.timestamp,
                    *stored(m.value),
                    run_number,
                )
                for m in map(Metric.newest, groups.values())
            ],
        )


def metric_of(row: Any, model_id: str | None = None) -> Metric:
    """A metric from a row of any table that holds some."""
    return Metric(
        key=row["key"],
        value=restored(row["value"], row["special"]),
        timestamp=row["timestamp"],
        step=row["step"],
        model_id=row["model_id"] if model_id is None else model_id,
        dataset_name=row["dataset_name"],
        dataset_digest=row["dataset_digest"],
        run_id=row["run_id"] if "run_id" in row.keys() else "",  # noqa: SIM118 - a row's `in` looks at values
    )


def _point_of(row: Any) -> Metric:
    """A point from a row that begins with ``_COLUMNS``."""
    key, value, special, *rest = row[:8]
    return Metric(key, restored(value, special), *rest)


def _point_rows(run_number: int, first: int, metrics: Sequence[Metric]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for point, m in enumerate(metrics, first):
        value, special = stored(m.value)
        texts = (m.model_id, m.dataset_name, m.dataset_digest)
        rows.append((run_number, m.key, m.step, m.timestamp, point, value, special, *texts))
    return rows


def _grouped(metrics: Iterable[tuple[K, Metric]]) -> dict[K, list[Metric]]:
    groups: dict[K, list[Metric]] = {}
    for key, metric in metrics:
        groups.setdefault(key, []).append(metric)
    return groups
