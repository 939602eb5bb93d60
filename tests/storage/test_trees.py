"""Trees on a real SQLite: what snapshots show whatever the order of commits, and what that costs."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from holdfast.format.digests import BLOCK_SIZE
from holdfast_server.domain.artifacts import Entry, Extent, Kind, NewEntry, Owner
from holdfast_server.domain.paths import ancestors
from holdfast_server.errors import FailedPrecondition, InvalidArgument, NotFound, Reason, Unavailable
from holdfast_server.storage.sql import conflicts, snapshots
from holdfast_server.storage.sql.connection import Connection, connect
from holdfast_server.storage.sql.migrate import migrate
from holdfast_server.storage.sql.trees import SqlTrees

RUN = Owner.run("a" * 32)
OTHER = Owner.run("b" * 32)
MODEL = Owner.model("m-" + "b" * 32)
EMPTY, BLOCK = b"", b"\x01" * 32


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    migrate(tmp_path / "trees.db")
    connection = connect(tmp_path / "trees.db")
    connection.execute(
        "BEGIN IMMEDIATE"
    )  # one transaction for the whole test: no fsync for each of thousands of commits
    yield connection
    connection.close()


@pytest.fixture
def trees(connection: Connection) -> SqlTrees:
    return SqlTrees(connection, now_ms=1_000)


@pytest.fixture
def steps(connection: Connection) -> Callable[[Callable[[], Any]], int]:
    """Counts tens of instructions of SQLite's virtual machine: a clock that the machine's load does not change."""

    def count(work: Callable[[], Any]) -> int:
        ticks = 0

        def tick() -> int:
            nonlocal ticks
            ticks += 1
            return 0

        connection.set_progress_handler(tick, 10)
        work()
        connection.set_progress_handler(None, 0)
        return ticks

    return count


def file(path: str) -> NewEntry:
    return NewEntry(path, Kind.FILE)


def directory(path: str) -> NewEntry:
    return NewEntry(path, Kind.DIRECTORY)


def stage(trees: SqlTrees, *entries: NewEntry, owner: Owner = RUN, commit_id: int | None = None) -> int:
    commit_id = trees.begin_commit(owner) if commit_id is None else commit_id
    assert trees.stage(commit_id, entries, all_ancestors=True) == []
    return commit_id


def commit(trees: SqlTrees, *entries: NewEntry, owner: Owner = RUN) -> int:
    """What a commit of few entries does in its transaction."""
    commit_id = trees.begin_commit(owner)
    assert trees.stage(commit_id, entries, all_ancestors=False) == []
    trees.check_conflicts(commit_id)
    return trees.seal(commit_id).sequence


def remove(trees: SqlTrees, *paths: str) -> int:
    commit_id = trees.begin_commit(RUN)
    trees.stage_removals(commit_id, paths)
    return trees.seal(commit_id).sequence


def listed(
    trees: SqlTrees, sequence: int, directory: str = "", *, recursive: bool = True, limit: int = 1000
) -> list[Entry]:
    """A whole listing, a page at a time."""
    found: list[Entry] = []
    after = ""
    while page := trees.list_entries(RUN, sequence, directory, recursive=recursive, after=after, limit=limit):
        found += page
        after = page[-1].path
    return found


def versions(entries: Sequence[Entry]) -> dict[str, int]:
    return {entry.path: entry.sequence for entry in entries}


def test_a_commit_that_began_first_and_is_sealed_last_is_the_newest(trees: SqlTrees):
    early = stage(trees, file("d/x"))
    for _ in range(3):
        commit(trees, file("d/x"), file("d/y"))
    sealed = trees.seal(early).sequence
    assert sealed == 4
    assert versions(listed(trees, 4)) == {"d": 4, "d/x": 4, "d/y": 3}
    assert versions(trees.get_entries(RUN, 4, ["d/x", "d/y"])) == {"d/x": 4, "d/y": 3}
    assert versions(trees.get_entries(RUN, 3, ["d/x", "d/y"])) == {"d/x": 3, "d/y": 3}
    assert commit(trees, file("d/x")) == 5
    assert versions(trees.get_entries(RUN, 5, ["d/x"])) == {"d/x": 5}


@pytest.mark.parametrize("seed", range(12))
def test_snapshots_show_the_newest_versions_whatever_the_order_of_begin_and_seal(trees: SqlTrees, seed: int):
    rng = random.Random(seed)
    names = ["a", "b/c", "b/d", "b/e/f", "b-", "b0", "e\u0301/g", "h"]
    history: list[dict[str, tuple[Kind, int]]] = [{}]  # by sequence: what stands where, and since when
    staged: dict[int, list[str]] = {}

    def sealed(sequence: int, kinds: dict[str, Kind], gone: Sequence[str] = ()) -> None:
        assert sequence == len(history)
        state = {path: at for path, at in history[-1].items() if path not in gone}
        history.append(state | {path: (kind, sequence) for path, kind in kinds.items()})

    for _ in range(120):
        action, picked = rng.random(), rng.sample(names, rng.randint(1, 4))
        tops = dict.fromkeys(picked, Kind.FILE)
        parents = {parent: Kind.DIRECTORY for path in picked for parent in ancestors(path)}
        if action < 0.25:
            staged[stage(trees, *map(file, picked))] = picked
        elif action < 0.45 and staged:
            commit_id = rng.choice(list(staged))
            chosen = staged.pop(commit_id)
            kinds = dict.fromkeys(chosen, Kind.FILE) | {p: Kind.DIRECTORY for c in chosen for p in ancestors(c)}
            sealed(trees.seal(commit_id).sequence, kinds)
        elif action < 0.55 and staged:
            commit_id = rng.choice(list(staged))
            del staged[commit_id]
            assert trees.abandon(commit_id)
        elif action < 0.7 and history[-1]:
            path = rng.choice(list(history[-1]))
            sealed(remove(trees, path), {}, [p for p in history[-1] if p == path or p.startswith(path + "/")])
        else:
            missing = {p: k for p, k in parents.items() if p not in history[-1]}
            sealed(commit(trees, *map(file, picked)), tops | missing)

    for sequence, state in enumerate(history):
        expected = {path: version for path, (_, version) in sorted(state.items(), key=lambda item: item[0].encode())}
        assert list(versions(listed(trees, sequence, limit=3)).items()) == list(expected.items())
        asked = [*names, "b", "b/e", "e\u0301", "absent"]
        assert versions(trees.get_entries(RUN, sequence, asked)) == {p: v for p, v in expected.items() if p in asked}
        below = {path: version for path, version in expected.items() if path.startswith("b/")}
        assert versions(listed(trees, sequence, "b")) == below
        children = {path: version for path, version in below.items() if path.count("/") == 1}
        assert versions(listed(trees, sequence, "b", recursive=False)) == children


def test_another_trees_commits_do_not_matter(trees: SqlTrees):
    other = stage(trees, file("x"), owner=MODEL)
    commit(trees, file("x"))
    trees.seal(other)
    commit(trees, file("x"))
    assert versions(listed(trees, 2)) == {"x": 2}
    assert trees.latest_sequence(MODEL) == 1


def test_the_number_of_versions_of_a_path_does_not_matter(trees: SqlTrees, steps: Callable[[Callable[[], Any]], int]):
    """Found as 140 ms at 2,000 versions: each version looked for a newer one among all."""

    def costs() -> list[int]:
        last = trees.latest_sequence(RUN)
        return [
            steps(lambda: commit(trees, file("logs/live.json"))),
            steps(lambda: trees.get_entry(RUN, last, "logs/live.json")),
            steps(lambda: trees.get_entry(RUN, last // 2, "logs/live.json")),
        ]

    for _ in range(20):
        commit(trees, file("logs/live.json"))
    few = costs()
    for _ in range(2_000):
        commit(trees, file("logs/live.json"))
    assert all(many <= before + 5 for before, many in zip(few, costs(), strict=True))
    last = trees.latest_sequence(RUN)
    # A listing passes over the versions, once.
    assert steps(lambda: trees.list_entries(RUN, last, "", recursive=True, after="", limit=10)) < 2_023 * 4


def test_listing_a_directory_reads_its_children_only(
    connection: Connection, trees: SqlTrees, steps: Callable[[Callable[[], Any]], int]
):
    commit(trees, file("top"), *(file(f"deep/{n % 10}/{n}") for n in range(3_000)))
    assert steps(lambda: trees.list_entries(RUN, 1, "", recursive=False, after="", limit=1_000)) < 50
    parameters = {"tree_id": 1, "sequence": 1, "sealed_to": 1, "directory": "", "after": "", "end": "", "limit": 9}
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {snapshots._CHILDREN}", parameters)]
    assert plan[0] == "SEARCH e USING INDEX entries_parent (tree_id=? AND parent=? AND path>?)"
    assert not any("TEMP B-TREE" in detail for detail in plan)  # else each page would sort the whole directory


@pytest.mark.parametrize("statement", [snapshots._ALL, snapshots._DESCENDANTS], ids=["all", "below a directory"])
def test_a_page_of_a_recursive_listing_follows_the_primary_key(connection: Connection, statement: str):
    parameters = {"tree_id": 1, "sequence": 1, "sealed_to": 1, "after": "", "end": "", "limit": 9}
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert plan[0].startswith("SEARCH e USING PRIMARY KEY (tree_id=? AND path>?")
    assert not any("TEMP B-TREE" in detail for detail in plan)


@pytest.mark.parametrize("statement", [*conflicts.FROM_STAGED, *conflicts.FROM_RECENT])
def test_looking_for_conflicts_scans_no_table(connection: Connection, statement: str):
    parameters = {"tree_id": 1, "sequence": 1, "sealed_to": 1, "commit_id": 2, "since": 0}
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert not any(detail.startswith("SCAN") for detail in plan), plan
    # By the first column of the primary key alone it would be the whole tree.
    assert not any(detail.endswith("USING PRIMARY KEY (tree_id=?)") for detail in plan), plan


NFC, NFD = "d/é", unicodedata.normalize("NFD", "d/é")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(file("a/b"), file("a"), id="a file where a directory is"),
        pytest.param(file("a"), directory("a"), id="a directory where a file is"),
        pytest.param(file("a"), file("a/b"), id="a file where a directory is needed"),
        pytest.param(file(NFC), file(NFD), id="the other one is normalized"),
        pytest.param(file(NFD), file(NFC), id="the first one is normalized"),
        pytest.param(file("\u1e9b\u0323"), file("\u017f\u0323\u0307"), id="one normalized, of two marks"),
        pytest.param(file("\u0061\u0323\u0307"), file("\u0061\u0307\u0323"), id="neither is normalized"),
    ],
)
def test_a_conflict_is_refused_within_a_commit_and_with_the_tree(trees: SqlTrees, first: NewEntry, second: NewEntry):
    def refused(work: Callable[[], object]) -> None:
        with pytest.raises((FailedPrecondition, InvalidArgument)) as caught:
            work()
        twice = first.path == second.path and isinstance(caught.value, InvalidArgument)
        assert caught.value.reason is (Reason.INVALID_PATH if twice else Reason.PATH_CONFLICT)

    refused(lambda: stage(trees, first, second))
    stages = stage(trees, first)
    refused(lambda: stage(trees, second, commit_id=stages))
    trees.abandon(stages)

    before_all = stage(trees, second)
    assert trees.check_conflicts(before_all) == 0
    commit(trees, first)
    refused(lambda: trees.check_conflicts(before_all))
    refused(lambda: trees.check_conflicts(before_all, since=0))
    commit(trees, file("unrelated"))
    assert trees.check_conflicts(before_all, since=1) == 2  # what was seen before is not looked at again
    refused(lambda: trees.check_conflicts(before_all, since=0))
    remove(trees, *{entry.path.split("/")[0] for entry in listed(trees, 2)} - {"unrelated"})
    assert trees.check_conflicts(before_all, since=0) == trees.check_conflicts(before_all) == 3


def test_names_that_are_not_normalized_are_staged_in_linear_time(
    trees: SqlTrees, steps: Callable[[Callable[[], Any]], int]
):
    """Found as 41 s for 8,000 names: each was compared with the whole commit, again at each stage."""
    commit_id = trees.begin_commit(RUN)

    def part(number: int) -> int:
        entries = [file(unicodedata.normalize("NFD", f"d/é{number}-{n}")) for n in range(500)]
        return steps(lambda: stage(trees, *entries, commit_id=commit_id))

    first, *_, last = [part(number) for number in range(8)]
    assert last < 1.5 * first
    trees.seal(commit_id)
    again = stage(trees, *(file(unicodedata.normalize("NFD", f"d/é{n % 8}-{n // 8}")) for n in range(2_000)))
    assert steps(lambda: trees.check_conflicts(again)) < 2_000 * 25


def sized(path: str, size: int) -> NewEntry:
    return NewEntry(path, Kind.FILE, size=size, block_digests=(BLOCK,))


def test_every_entry_has_the_size_of_its_content(trees: SqlTrees):
    trees._blocks.add([(BLOCK, 100, Extent("blocks/01/x", 0, 100))])

    def refused(*entries: NewEntry) -> str:
        with pytest.raises(InvalidArgument) as caught:
            stage(trees, *entries)
        assert caught.value.reason is Reason.CONTENT_MISMATCH
        return str(caught.value)

    assert "'x'" in refused(sized("x", 99))
    assert "'again'" in refused(sized("x", 100), sized("again", 101))
    refused(sized("again", BLOCK_SIZE), sized("x", 100))
    commit(trees, sized("x", 100))
    assert "100 bytes, not 7" in refused(sized("known", 7))
    commit(trees, sized("known", 100), sized("twice", 100))
    assert {entry.size for entry in listed(trees, 2)} == {100}


def test_removing_a_directory_removes_all_below_it_and_nothing_else(trees: SqlTrees):
    commit(trees, file("a/b/c"), file("a/b/d"), file("a/e"), file("a-"), file("a0"), file("a.txt"))
    commit(trees, file("a/b/new"))
    remove(trees, "a/b/d")
    assert set(versions(listed(trees, 3))) == {"a", "a-", "a.txt", "a/b", "a/b/c", "a/b/new", "a/e", "a0"}
    remove(trees, "a/b", "a", "a/e", "a.txt")  # overlapping, each removed once
    assert set(versions(listed(trees, 4))) == {"a-", "a0"}
    assert "a/b/c" in versions(listed(trees, 3))
    commit(trees, file("a"))
    assert set(versions(listed(trees, 5))) == {"a", "a-", "a0"}
    with pytest.raises(NotFound):
        remove(trees, "a-", "a/b")


def test_a_given_up_commit_goes_in_steps_and_cannot_be_sealed(connection: Connection, trees: SqlTrees):
    commit_id = stage(trees, *(file(str(n)) for n in range(25)))

    def rows() -> int:
        return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

    assert not trees.abandon(commit_id, limit=10)
    assert rows() == 15
    for work in (trees.seal, trees.check_conflicts, lambda i: stage(trees, file("more"), commit_id=i)):
        with pytest.raises(Unavailable):
            work(commit_id)
    assert not trees.abandon(commit_id, limit=10)
    assert trees.abandon(commit_id, limit=10)
    assert rows() == 0
    assert trees.abandon(commit_id)


def test_the_id_of_a_given_up_commit_is_never_used_again(trees: SqlTrees):
    given_up = stage(trees, file("a"))
    assert trees.abandon(given_up)
    later = stage(trees, file("b"), owner=OTHER)
    with pytest.raises(Unavailable):
        stage(trees, file("c"), commit_id=given_up)
    assert trees.seal(later).owner == OTHER


def test_a_sealed_commit_is_not_given_up(trees: SqlTrees):
    commit_id = stage(trees, file("x"))
    trees.seal(commit_id)
    trees.abandon(commit_id)
    assert versions(listed(trees, 1)) == {"x": 1}


def test_expired_and_given_up_stages_go_in_bounded_steps(connection: Connection, trees: SqlTrees):
    expired = stage(trees, *(file(f"e{n}") for n in range(12)))
    stage(trees, file("another"))
    later = SqlTrees(connection, now_ms=9_000)
    given_up = stage(later, *(file(f"g{n}") for n in range(12)))
    kept = stage(later, file("kept"))
    later.abandon(given_up, limit=5)
    deleted = []
    while count := later.delete_expired_stages(2_000, limit=5):
        deleted.append(count)
    assert max(deleted) <= 5
    assert [row[0] for row in connection.execute("SELECT commit_id FROM commits")] == [kept]
    assert [row[0] for row in connection.execute("SELECT path FROM entries")] == ["kept"]
    with pytest.raises(Unavailable):
        later.seal(expired)


def test_a_stage_that_was_given_up_does_not_slow_later_reads(
    trees: SqlTrees, steps: Callable[[Callable[[], Any]], int]
):
    left = stage(trees, *(file(f"{n}") for n in range(10)))
    trees.abandon(left, limit=5)
    for _ in range(500):
        last = commit(trees, file("x"))
    assert steps(lambda: trees.get_entry(RUN, last, "x")) < 50
