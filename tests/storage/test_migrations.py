"""Databases of every release come to this version's schema with all they hold, or stay as they were."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.full_disk import MIB, mounted
from tests.server_process import clean_environment, running_server
from tests.storage import migrating_program
from tests.storage.schemas.make import tables

from holdfast import Client
from holdfast_server.errors import FailedPrecondition, Unavailable
from holdfast_server.storage.sql.checks import SqlChecks
from holdfast_server.storage.sql.connection import connect, inspect
from holdfast_server.storage.sql.migrate import applied_migrations, copies_before_migrations, migrate, migrations

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
PROGRAM = Path(__file__).with_name("migrating_program.py")
# What migrations after a release change on purpose: tables by release, with the reason. Everything else stays.
CHANGED: dict[str, dict[str, str]] = {"0.1": {}}

Content = dict[str, tuple[list[str], list[tuple[Any, ...]]]]

each_release = pytest.mark.parametrize("schema", [pytest.param(path, id=path.stem) for path in SCHEMAS])


def load(schema: Path, database: Path) -> Path:
    """Make the database that a release left."""
    database.parent.mkdir(parents=True, exist_ok=True)
    plain = sqlite3.connect(database)
    plain.executescript(schema.read_text(encoding="utf-8"))
    plain.close()
    return database


def content_of(database: Path, like: Content | None = None) -> Content:
    """The columns and rows of each table; with ``like`` of its tables and columns only."""
    connection = connect(database, read_only=True)
    try:
        names = [name for name in tables(connection) if name != "_sqlite_migrations"]
        found: Content = {}
        for name in names if like is None else like:
            rows = connection.execute(f'SELECT * FROM "{name}" LIMIT 0')
            columns = [column[0] for column in rows.description] if like is None else like[name][0]
            listed = ", ".join(f'"{column}"' for column in columns)
            rows = connection.execute(f'SELECT {listed} FROM "{name}"')
            found[name] = (columns, sorted(map(tuple, rows), key=repr))
        return found
    finally:
        connection.close()


def schema_of(database: Path) -> list[str]:
    connection = connect(database, read_only=True)
    try:
        return applied_migrations(connection)
    finally:
        connection.close()


def test_this_release_has_a_fixture_which_others_will_be_migrated_from() -> None:
    minor = ".".join(version("holdfast").split(".")[:2])
    assert minor in {path.stem for path in SCHEMAS}, f"run `python -m tests.storage.schemas.make {minor}`"
    assert set(CHANGED) == {path.stem for path in SCHEMAS}


@each_release
def test_a_release_had_rows_in_every_table(schema: Path, tmp_path: Path) -> None:
    connection = connect(load(schema, tmp_path / "holdfast.db"))
    assert [name for name in tables(connection) if not connection.execute(f'SELECT 1 FROM "{name}"').fetchone()] == []
    connection.close()


@each_release
def test_a_database_of_a_release_keeps_every_row(schema: Path, tmp_path: Path) -> None:
    database = load(schema, tmp_path / "holdfast.db")
    before = content_of(database)
    migrate(database)
    after = content_of(database, like=before)
    for name, rows in before.items():
        if name not in CHANGED[schema.stem]:
            assert after[name] == rows, name
    connection = connect(database)
    try:
        assert migrations().pending(inspect(connection)) == []
        assert list(SqlChecks(connection).find_inconsistencies(10)) == []
        assert sorted(_schema(connection)) == sorted(_schema_of_a_new_database(tmp_path))
    finally:
        connection.close()


def _schema(connection: Any) -> set[tuple[str, str]]:
    rows = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")
    return {tuple(row) for row in rows}


def _schema_of_a_new_database(tmp_path: Path) -> set[tuple[str, str]]:
    (tmp_path / "new").mkdir()
    migrate(tmp_path / "new" / "holdfast.db")
    connection = connect(tmp_path / "new" / "holdfast.db")
    try:
        return _schema(connection)
    finally:
        connection.close()


@each_release
def test_a_server_serves_what_a_release_left(schema: Path, tmp_path: Path) -> None:
    database = load(schema, tmp_path / "data" / "holdfast.db")
    connection = connect(database)
    (store_id,) = connection.execute("SELECT store_id FROM block_store").fetchone()
    connection.close()
    (tmp_path / "data" / "store").mkdir()
    (tmp_path / "data" / "store" / "holdfast-store").write_text(store_id)
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        experiment = client.get_experiment_by_name("vision")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.run_name, run.data.params) == ("first", {"lr": "0.1"})
        assert [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "loss")] == [
            (0, 0.5),
            (1, 0.25),
        ]
        assert client.get_model_version_by_alias("classifier", "champion").version == "2"
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"model", "notes.txt", "log.txt"}


def migrate_to_later(database: Path, *step: int) -> int:
    """Run the newer version's migrations in a process, killed at a step; returns its exit code."""
    command = [sys.executable, str(PROGRAM), str(database), *map(str, step)]
    environment = clean_environment({"PYTHONPATH": str(Path(__file__).parents[2])})
    return subprocess.run(command, check=False, timeout=60, env=environment).returncode


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_migration_that_is_killed_at_any_step_leaves_the_old_database(tmp_path: Path) -> None:
    original = load(SCHEMAS[-1], tmp_path / "original" / "holdfast.db")
    migrate(original)
    before, old = content_of(original), schema_of(original)
    copies, step = set(), 0
    while True:
        step += 1
        database = tmp_path / f"step-{step}" / "holdfast.db"
        database.parent.mkdir()
        database.write_bytes(original.read_bytes())
        code = migrate_to_later(database, step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        migrate(database)  # the old version starts on it
        assert schema_of(database) == old
        assert content_of(database) == before
        found = copies_before_migrations(database)
        for copy in found:
            assert content_of(copy) == before
        copies.add(len(found))
    assert step > 15
    assert copies == {0, 1}
    assert schema_of(database) == [*old, *migrating_program.LATER]
    assert content_of(copies_before_migrations(database)[0]) == before
    with pytest.raises(FailedPrecondition, match=r"A newer Holdfast wrote this database \(schema 9001_later_still\)"):
        migrate(database)


@pytest.mark.slow
@pytest.mark.parametrize("room", ["for the copy", "for nothing"])
def test_a_migration_without_room_leaves_the_old_database(
    room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "data", 8 * MIB) as folder:
        database = load(SCHEMAS[-1], folder / "holdfast.db")
        migrate(database)
        for copy in copies_before_migrations(database):
            copy.unlink()
        before, size = content_of(database), database.stat().st_size
        free = 3 * MIB if room == "for the copy" else size // 2
        filler = folder / "filler"
        filler.write_bytes(bytes(8 * MIB - size - free - 65_536))
        with monkeypatch.context() as patched:
            patched.setattr(migrating_program.migrating, "migrations", migrations)
            migrating_program.add_later_migrations()
            with pytest.raises(Unavailable, match=r"could not be brought to schema 9001_.* is as it was: .*full"):
                migrate(database)
            assert content_of(database) == before
            assert len(copies_before_migrations(database)) == (room == "for the copy")
            assert not list(folder.glob("*.partial"))
            filler.unlink()
            migrate(database)
            assert schema_of(database)[-1] == "9001_later_still"
