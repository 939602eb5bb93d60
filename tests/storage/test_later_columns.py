"""Databases of older versions: what they hold is read as if this version had written it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_server.domain.metric_chart import MetricBucket, StepRange
from holdfast_server.domain.registry import ResolvedSource
from holdfast_server.domain.run import Metric, RunStatus
from holdfast_server.storage.sql import metric_buckets, metrics
from holdfast_server.storage.sql import migrate as migrating
from holdfast_server.storage.sql.connection import connect
from holdfast_server.storage.sql.experiments import SqlExperiments
from holdfast_server.storage.sql.registry import SqlRegistry
from holdfast_server.storage.sql.runs import SqlRuns

SOURCE = ResolvedSource("m-" + "ab" * 16, 1, bytes(range(32)), "", "", "m-" + "ab" * 16, 1, 1)


def older_database(path: Path, monkeypatch: pytest.MonkeyPatch, *, before: str) -> None:
    """A database as it was made when there was no migration ``before`` yet."""
    with monkeypatch.context() as patched:
        every = migrating.migrations()
        patched.setattr(migrating, "migrations", lambda: every)
        patched.setattr(every, "_migrations", [m for m in every._migrations if m.name < before])
        migrating.migrate(path)


def test_an_older_database_keeps_experiments_and_versions(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    older_database(path, monkeypatch, before="0037")
    connection = connect(path)
    connection.execute("INSERT INTO experiments (name, create_time, update_time) VALUES ('old', 1, 2)")
    connection.execute("INSERT INTO registered_models (name, create_time, update_time) VALUES ('m', 5, 6)")
    connection.execute(
        "INSERT INTO model_versions (registered_no, version, source, owner, sequence, tree_digest, file_count,"
        " total_size, status, create_time, update_time) VALUES (1, 1, 'models:/x', ?, 1, ?, 1, 1, 'READY', 7, 8)",
        (SOURCE.owner, SOURCE.tree_digest),
    )
    connection.close()

    migrating.migrate(path)
    connection = connect(path)
    experiments = SqlExperiments(connection)
    assert [experiments.get(number).artifact_location for number in (0, 1)] == ["", ""]
    assert (experiments.get(1).name, experiments.get(1).create_time) == ("old", 1)
    assert experiments.create("new", (), "s3://here", now_ms=3) == experiments.find("new")
    version = SqlRegistry(connection).get_version("m", 1)
    assert (version.run_link, version.source_uri, version.create_time) == ("", "models:/x", 7)
    assert version.source.directory_digest == b""
    connection.close()


def test_charts_of_an_older_database_have_the_points_that_come_later(tmp_path, monkeypatch):
    """Roll-ups were begun at 4,096 points once: those of metrics of fewer than 16,384 are fed no more."""
    path = tmp_path / "old.db"
    older_database(path, monkeypatch, before="0036")
    connection = connect(path)
    runs, began = SqlRuns(connection), 5_000
    number = runs.create(
        run_id="ab" * 16, experiment_id=0, name="r", user_id="", status=RunStatus.RUNNING, start_time=0, tags=()
    ).number

    def log(key: str, steps: range) -> None:
        runs.add_metrics(number, [Metric(key, float(step), 0, step) for step in steps], {})

    def rolled_up() -> set[str]:
        rows = connection.execute("SELECT key FROM latest_metrics WHERE bucket_shift IS NOT NULL").fetchall()
        return {row["key"] for row in rows}

    with monkeypatch.context() as patched:
        patched.setattr(metrics, "ROLLED_FROM", 4_096)
        patched.setattr(metric_buckets, "ROLLED_FROM", 4_096)
        for key in ("short", "starved", "long"):
            log(key, range(began))
        log("long", range(began, 20_000))
    # A development version fed it no more, and then again from 16,384 points on.
    log("starved", range(began, 16_000))
    log("starved", range(16_000, 17_000))
    assert rolled_up() == {"short", "starved", "long"}
    connection.close()

    migrating.migrate(path)
    connection = connect(path)
    runs = SqlRuns(connection)
    assert rolled_up() == {"long"}
    kept = {row["key"] for row in connection.execute("SELECT DISTINCT key FROM metric_buckets")}
    assert kept == {"long"}
    ends = {"short": 12_000, "starved": 18_000, "long": 21_000}
    starts = {"short": began, "starved": 17_000, "long": 20_000}
    for key, end in ends.items():
        log(key, range(starts[key], end))
        (bucket,) = runs.list_metric_buckets(number, key, StepRange(), 1)
        assert bucket == MetricBucket(end, 0, 0.0, end - 1.0, 0, end - 1, 0, end - 1.0)
    assert rolled_up() == {"starved", "long"}
    connection.close()
