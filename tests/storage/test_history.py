"""Pruning: what snapshots that are kept show stays, and nothing else does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_server.domain.artifacts import Kind, NewEntry, Owner
from holdfast_server.storage.sql.connection import Connection, connect
from holdfast_server.storage.sql.history import SqlHistory
from holdfast_server.storage.sql.migrate import migrate
from holdfast_server.storage.sql.trees import SqlTrees

RUN = Owner.run("a" * 32)
NAMES = ["a", "b/c", "b/d", "b/e/f", "g", "h"]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    migrate(tmp_path / "history.db")
    connection = connect(tmp_path / "history.db")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO registered_models (registered_no, name, create_time, update_time) VALUES (1, 'm', 0, 0)"
    )
    yield connection
    connection.close()


def pin(connection: Connection, sequence: int) -> None:
    connection.execute(
        "INSERT INTO model_versions (registered_no, version, source, owner, sequence, tree_digest, file_count,"
        " total_size, status, create_time, update_time)"
        " VALUES (1, (SELECT next_version FROM registered_models), '', ?, ?, x'', 0, 0, 'READY', 0, 0)",
        (RUN.id, sequence),
    )
    connection.execute("UPDATE registered_models SET next_version = next_version + 1")


def unpin(connection: Connection, sequence: int) -> None:
    connection.execute("DELETE FROM model_versions WHERE owner = ? AND sequence = ?", (RUN.id, sequence))


def shown(connection: Connection, sequence: int) -> dict[str, int]:
    entries = SqlTrees(connection, 0).list_entries(RUN, sequence, "", recursive=True, after="", limit=1000)
    return {entry.path: entry.sequence for entry in entries}


def prune(connection: Connection, before_ms: int, limit: int = 3) -> int:
    """What a collection does in its transactions, a few paths at a time; returns the entries deleted."""
    history, deleted = SqlHistory(connection), 0
    trees, last = history.list_unpruned(0, 10, before_ms=before_ms)
    assert last is None
    for tree in trees:
        history.close_before(tree)
        path: str | None = ""
        while path is not None:
            obsolete, path = history.find_obsolete(tree, path, limit)
            deleted += history.delete_entries(tree, obsolete)
        history.finish(tree)
    return deleted


def act(connection: Connection, rng: random.Random, now: int, staged: list[int]) -> None:
    """Change the tree somehow: a commit, a removal, or a stage begun or sealed."""
    trees, action = SqlTrees(connection, now), rng.random()
    files = [NewEntry(path, Kind.FILE) for path in rng.sample(NAMES, rng.randint(1, 3))]
    live = list(shown(connection, trees.latest_sequence(RUN)))
    commit_id = trees.begin_commit(RUN)
    if action < 0.2:
        assert trees.stage(commit_id, files, all_ancestors=True) == []
        staged.append(commit_id)
    elif action < 0.45 and live:
        trees.stage_removals(commit_id, [rng.choice(live)] if action < 0.4 else [""])
        trees.seal(commit_id)
    elif action < 0.6 and staged:
        trees.abandon(commit_id)
        trees.seal(staged.pop(rng.randrange(len(staged))))
    else:
        assert trees.stage(commit_id, files, all_ancestors=False) == []
        trees.seal(commit_id)


@pytest.mark.parametrize("seed", range(25))
def test_kept_snapshots_show_the_same_and_nothing_else_is_left(connection: Connection, seed: int):
    rng = random.Random(seed)
    trees, pins, staged, kept_from = SqlTrees(connection, 0), set[int](), list[int](), 0
    states: dict[int, dict[str, int]] = {}
    times: dict[int, int] = {}
    for now in range(1, 150):
        act(connection, rng, now, staged)
        latest = trees.latest_sequence(RUN)
        states.setdefault(latest, shown(connection, latest))
        times.setdefault(latest, now)
        if rng.random() < 0.1 and latest:
            pins.add(latest)
            pin(connection, latest)
        if rng.random() < 0.1 and pins:
            gone = rng.choice(sorted(pins))
            pins.remove(gone)
            unpin(connection, gone)
        if rng.random() < 0.15:
            before = now - rng.randrange(20)
            prune(connection, before)
            kept_from = max([kept_from, *(sequence for sequence, at in times.items() if at <= before)])
        kept = {s for s in states if s >= kept_from} | pins
        assert {s for s in states if trees.is_kept(RUN, s)} == kept
        for sequence in kept:
            assert shown(connection, sequence) == states[sequence], f"snapshot {sequence} of {latest}"
    prune(connection, 1_000)
    kept = {trees.latest_sequence(RUN)} | pins
    for sequence in kept:
        assert shown(connection, sequence) == states[sequence]
    rows = connection.execute(
        "SELECT e.path, e.kind, c.sequence FROM entries e JOIN commits c USING (commit_id) WHERE c.sequence IS NOT NULL"
    ).fetchall()
    needed = {(path, at) for sequence in kept for path, at in states[sequence].items()}
    assert {(row["path"], row["sequence"]) for row in rows if row["kind"] != 0} == needed
    # A removal is there only after something that it hides.
    for row in rows:
        if row["kind"] == 0:
            assert any(path == row["path"] and at < row["sequence"] for path, at in needed)
    commits = {r["sequence"] for r in connection.execute("SELECT sequence FROM commits WHERE sequence IS NOT NULL")}
    assert kept <= commits
    assert prune(connection, 1_000) == 0


def test_a_path_with_many_versions_is_pruned_to_its_newest(connection: Connection):
    trees = SqlTrees(connection, 5)
    for _ in range(3_000):
        commit_id = trees.begin_commit(RUN)
        trees.stage(commit_id, [NewEntry("log", Kind.FILE)], all_ancestors=False)
        trees.seal(commit_id)
    assert prune(connection, 5) == 2_999
    assert shown(connection, 3_000) == {"log": 3_000}
    assert connection.execute("SELECT COUNT(*) FROM commits").fetchone()[0] == 1
    assert SqlHistory(connection).list_unpruned(0, 10, before_ms=5) == ([], None)


def test_a_deleted_registered_model_gives_its_pins_back(connection: Connection):
    trees = SqlTrees(connection, 5)
    for name in ("a", "b"):
        commit_id = trees.begin_commit(RUN)
        trees.stage(commit_id, [NewEntry("log", Kind.FILE), NewEntry(name, Kind.FILE)], all_ancestors=False)
        trees.seal(commit_id)
        pin(connection, trees.latest_sequence(RUN))
    assert prune(connection, 5) == 0
    connection.execute("DELETE FROM registered_models")
    assert prune(connection, 5) == 1
    assert shown(connection, 2) == {"a": 1, "b": 2, "log": 2}
