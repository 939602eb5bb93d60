"""Databases from before a column was there: what they hold is read as if nothing had been said."""

from __future__ import annotations

from holdfast_server.domain.registry import ResolvedSource
from holdfast_server.storage.sql import migrate as migrating
from holdfast_server.storage.sql.connection import connect
from holdfast_server.storage.sql.experiments import SqlExperiments
from holdfast_server.storage.sql.registry import SqlRegistry

SOURCE = ResolvedSource("m-" + "ab" * 16, 1, bytes(range(32)), "", "", "m-" + "ab" * 16, 1, 1)


def test_an_older_database_keeps_experiments_and_versions(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    with monkeypatch.context() as patched:
        every = migrating.migrations()
        patched.setattr(migrating, "migrations", lambda: every)
        patched.setattr(every, "_migrations", [m for m in every._migrations if m.name < "0037"])
        migrating.migrate(path)
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
    connection.close()
