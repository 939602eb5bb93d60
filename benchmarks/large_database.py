"""Fills databases with many runs and with a long metric, straight by SQL: logging them would take too long.

Holdfast's and MLflow's get the same runs, ids and values; of the long metric the same steps and times.
"""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

from holdfast import Client
from holdfast.entities import Metric

RUNS = 100_000
METRICS = ("loss", "acc", *(f"metric-{i}" for i in range(2, 10)))
PARAMS = ("optimizer", "lr", "layers", "seed", "data")
POINTS = 1_000_000
START_MS = 1_700_000_000_000
LONG_RUN = "f" * 32

# The number of a run as its id, and as good as random from 0 to 1 for each of its metrics.
_ID = "printf('%032x', n)"
_RANDOM = "((n * 7919 + k * 104729) * 2654435761 % 1000003) / 1000003.0"
# acc is missing in each tenth run; loss is NaN in some.
_METRIC_ROWS = f"""
WITH keys (k, key) AS (VALUES {",".join(f"({i}, '{key}')" for i, key in enumerate(METRICS))})
SELECT n, key, {_RANDOM} AS value, key = 'loss' AND n % 97 = 0 AS is_nan FROM numbers, keys
WHERE key != 'acc' OR n % 10 != 0
ORDER BY n, key
"""
_PARAM_ROWS = f"""
WITH keys (k, key) AS (VALUES {",".join(f"({i}, '{key}')" for i, key in enumerate(PARAMS))})
SELECT n, key, CASE key WHEN 'optimizer' THEN CASE n % 3 WHEN 0 THEN 'adam' WHEN 1 THEN 'sgd' ELSE 'lamb' END
  ELSE CAST(n * (k + 1) % 1009 AS TEXT) END AS value
FROM numbers, keys ORDER BY n, key
"""
# One note in fifty has the word that is searched for.
_TAG_ROWS = """
WITH keys (key) AS (VALUES ('mlflow.runName'), ('mlflow.user'), ('note'))
SELECT n, key, CASE key WHEN 'note' THEN IIF(n % 50 = 0, 'a needle in hay ', 'hay and straw ') || n
  WHEN 'mlflow.user' THEN 'user-' || n % 20 ELSE 'run-' || n END AS value
FROM numbers, keys ORDER BY n, key
"""


def fill_holdfast(connection: Any, runs: int) -> None:
    """Runs of the experiment 0, the last of which started last; ``connection`` is to a migrated database."""
    _numbers(connection, runs)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO runs (run_no, run_id, experiment_id, run_name, user_id, status, start_time, end_time, points)"
        f" SELECT n, {_ID}, 0, 'run-' || n, 'user-' || n % 20, 'FINISHED', {START_MS} + n * 1000,"
        f" {START_MS} + n * 1000 + 500, 10 FROM numbers"
    )
    connection.execute(
        "INSERT INTO latest_metrics"
        " (run_no, key, step, timestamp, value, special, model_id, dataset_name, dataset_digest, points)"
        f" SELECT n, key, 0, {START_MS}, IIF(is_nan, 0.0, value), is_nan, '', '', '', 1 FROM ({_METRIC_ROWS})"
    )
    connection.execute(
        "INSERT INTO metric_points"
        " (run_no, key, step, timestamp, point, value, special, model_id, dataset_name, dataset_digest)"
        " SELECT run_no, key, step, timestamp, 0, value, special, '', '', '' FROM latest_metrics"
    )
    connection.execute(f"INSERT INTO run_params (run_no, key, value) {_PARAM_ROWS}")
    connection.execute(f"INSERT INTO run_tags (run_no, key, value) {_TAG_ROWS}")
    connection.execute("COMMIT")
    connection.execute("DROP TABLE temp.numbers")


def fill_long_metric(address: str, points: int) -> None:
    """A run with a long metric and a few others, logged as any run is: its roll-up is made when it is written."""
    with Client(f"holdfast://{address}") as client:
        client.create_run("0", run_id=LONG_RUN)
        client.log_metrics(LONG_RUN, {f"m{i}": i for i in range(10)})
        for start in range(0, points, 1_000):
            metrics = [
                Metric("long", math.sin(step / 1e4) + step % 7, START_MS + step, step)
                for step in range(start, start + 1_000)
            ]
            client.log_batch(LONG_RUN, metrics=metrics)


def fill_mlflow(path: Path, runs: int, points: int) -> None:
    """The same in a database that ``mlflow server`` made; the server may be running."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    if runs:
        _fill_mlflow_runs(connection, runs)
    if points:
        _fill_long_mlflow(connection, points)
    connection.close()


def _fill_mlflow_runs(connection: sqlite3.Connection, runs: int) -> None:
    _numbers(connection, runs)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
        " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        f" SELECT {_ID}, 'run-' || n, 'UNKNOWN', '', '', 'user-' || n % 20, 'FINISHED', {START_MS} + n * 1000,"
        f" {START_MS} + n * 1000 + 500, '', 'active', 'mlflow-artifacts:/0/' || {_ID} || '/artifacts', 0 FROM numbers"
    )
    for table in ("latest_metrics", "metrics"):
        connection.execute(
            f"INSERT INTO {table} (run_uuid, key, step, timestamp, value, is_nan)"
            f" SELECT {_ID}, key, 0, {START_MS}, IIF(is_nan, 0.0, value), is_nan FROM ({_METRIC_ROWS})"
        )
    connection.execute(f"INSERT INTO params (run_uuid, key, value) SELECT {_ID}, key, value FROM ({_PARAM_ROWS})")
    connection.execute(f"INSERT INTO tags (run_uuid, key, value) SELECT {_ID}, key, value FROM ({_TAG_ROWS})")
    connection.execute("COMMIT")


def _numbers(connection: Any, count: int) -> None:
    connection.execute("CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY)")
    connection.execute(
        "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)"
        " INSERT INTO numbers SELECT n FROM counted",
        (count,),
    )


def _fill_long_mlflow(connection: sqlite3.Connection, points: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
        " source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, 'long', 'UNKNOWN', '', '', '', 'RUNNING', ?, '', 'active', 'mlflow-artifacts:/0/long', 0)",
        (LONG_RUN, START_MS),
    )
    connection.execute(
        "WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < ? - 1)"
        " INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan)"
        " SELECT ?, 'long', n, ? + n, n % 1000 / 1000.0, 0 FROM counted",
        (points, LONG_RUN, START_MS),
    )
    connection.execute(
        "INSERT INTO latest_metrics (run_uuid, key, step, timestamp, value, is_nan) VALUES (?, 'long', ?, ?, 0.5, 0)",
        (LONG_RUN, points - 1, START_MS + points),
    )
    for table in ("latest_metrics", "metrics"):
        connection.executemany(
            f"INSERT INTO {table} (run_uuid, key, step, timestamp, value, is_nan) VALUES (?, ?, 0, ?, ?, 0)",
            [(LONG_RUN, f"m{i}", START_MS, i) for i in range(10)],
        )
    connection.execute("COMMIT")
