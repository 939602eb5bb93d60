"""Rows of the registry's history, and what an older database's becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_server.domain.experiment import Tag, TagChanges
from holdfast_server.domain.registry import ResolvedSource
from holdfast_server.domain.registry_history import Actor, ChangeKind
from holdfast_server.storage.sql import migrate as migrating
from holdfast_server.storage.sql.connection import Connection, connect
from holdfast_server.storage.sql.events import SqlEvents
from holdfast_server.storage.sql.recorded_registry import RecordedRegistry
from holdfast_server.storage.sql.registry import SqlRegistry
from holdfast_server.storage.sql.registry_history import SqlRegistryHistory

SOURCE = ResolvedSource("ab" * 16, 1, bytes(range(32)), "model", "ab" * 16, "")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    migrating.migrate(tmp_path / "registry.db")
    connection = connect(tmp_path / "registry.db")
    yield connection
    connection.close()


@pytest.fixture
def history(connection: Connection) -> SqlRegistryHistory:
    return SqlRegistryHistory(connection)


@pytest.fixture
def changes(connection: Connection, history: SqlRegistryHistory) -> RecordedRegistry:
    return RecordedRegistry(
        SqlRegistry(connection), history, SqlEvents(connection, 1_000), Actor("alice", "ada"), 1_000
    )


def kinds(history: SqlRegistryHistory, name: str, **options: int) -> list[str]:
    found = history.list_before(name, options.get("version", 0), options.get("before"), options.get("limit", 100))
    return [recorded.change.kind.value for recorded in found]


def test_records_say_who_and_when(changes, history):
    changes.create("m", "", ())
    (recorded,) = history.list_before("m", 0, None, 9)
    assert (recorded.actor, recorded.time, recorded.change.kind) == (
        Actor("alice", "ada"),
        1_000,
        ChangeKind.MODEL_CREATED,
    )


def test_a_name_that_goes_round_has_its_whole_past_once(changes, history):
    """m becomes n and n becomes m again; meanwhile there was another m."""
    changes.create("m", "", ())
    changes.update("m", new_name="n", description=None, tags=TagChanges())
    changes.create("m", "", ())
    changes.update("m", new_name=None, description=None, tags=TagChanges((Tag("other", "m"),)))
    changes.delete("m")
    changes.update("n", new_name="m", description=None, tags=TagChanges())
    changes.update("m", new_name=None, description=None, tags=TagChanges((Tag("first", "m"),)))
    expected = [
        "TAG_CHANGED",
        "MODEL_RENAMED",
        "MODEL_DELETED",
        "TAG_CHANGED",
        "MODEL_CREATED",
        "MODEL_RENAMED",
        "MODEL_CREATED",
    ]
    assert kinds(history, "m") == expected
    numbers = [recorded.number for recorded in history.list_before("m", 0, None, 100)]
    assert numbers == sorted(set(numbers), reverse=True)
    # In pieces it is the same.
    pieces, before = [], None
    while piece := history.list_before("m", 0, before, 2):
        pieces += [recorded.change.kind.value for recorded in piece]
        before = piece[-1].number
    assert pieces == expected


def test_rows_that_are_numbered_anew_do_not_mix_pasts(changes, history, connection):
    """SQLite gives the number of the last deleted row to the next one; a past must not go with it."""
    changes.create("a", "", ())
    changes.delete("a")
    changes.create("b", "", ())
    assert kinds(history, "b") == ["MODEL_CREATED"]
    changes.update("b", new_name="c", description=None, tags=TagChanges())
    assert kinds(history, "c") == ["MODEL_RENAMED", "MODEL_CREATED"]
    lineages = connection.execute("SELECT COUNT(DISTINCT lineage) FROM registry_history").fetchone()[0]
    assert lineages == 2


def test_a_long_history_is_read_by_its_index(changes, history, connection):
    changes.create("m", "", ())
    plans = [
        " ".join(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
        for statement in (
            "SELECT * FROM registry_history WHERE name = 'm' AND change_no < 9 ORDER BY change_no DESC LIMIT 1",
            "SELECT * FROM registry_history WHERE lineage = 1 AND change_no <= 9 ORDER BY change_no DESC LIMIT 1",
            "SELECT lineage FROM registry_history WHERE kind = 'MODEL_RENAMED' AND new_value = 'm'",
        )
    ]
    assert all("USING INDEX registry_history" in plan and "SCAN" not in plan and "B-TREE" not in plan for plan in plans)


def test_an_older_database_gets_the_history_that_is_known(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    with monkeypatch.context() as patched:
        every = migrating.migrations()
        old = [m for m in every._migrations if m.name < "0030"]
        patched.setattr(migrating, "migrations", lambda: every)
        patched.setattr(every, "_migrations", old)
        migrating.migrate(path)
    connection = connect(path)
    for name in ("a", "b"):
        connection.execute(
            "INSERT INTO registered_models (name, next_version, create_time, update_time) VALUES (?, 3, 5, 6)", (name,)
        )
    connection.execute(
        "INSERT INTO model_versions (registered_no, version, source, owner, sequence, tree_digest, file_count,"
        " total_size, status, user_id, create_time, update_time)"
        " VALUES (2, 2, 'runs:/x', ?, 1, ?, 1, 1, 'READY', 'bob', 7, 8)",
        (SOURCE.owner, SOURCE.tree_digest),
    )
    connection.close()
    migrating.migrate(path)
    connection = connect(path)
    history = SqlRegistryHistory(connection)
    assert kinds(history, "a") == ["MODEL_CREATED"]
    version, model = history.list_before("b", 0, None, 9)
    assert (version.time, version.actor.user_id, version.change.new) == (7, "bob", "runs:/x")
    assert (version.change.version, version.change.tree_digest) == (2, SOURCE.tree_digest)
    assert (model.time, model.change.kind) == (5, ChangeKind.MODEL_CREATED)
    changes = RecordedRegistry(SqlRegistry(connection), history, SqlEvents(connection, 9), Actor(), 9)
    changes.update("b", new_name="c", description=None, tags=TagChanges())
    assert kinds(history, "c") == ["MODEL_RENAMED", "VERSION_CREATED", "MODEL_CREATED"]
    changes.create("d", "", ())
    changes.update("d", new_name="e", description=None, tags=TagChanges())
    assert kinds(history, "e") == ["MODEL_RENAMED", "MODEL_CREATED"]
    connection.close()
