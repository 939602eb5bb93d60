"""The runner's own parts, without a server."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
import yaml
from client.conformance.runner import digests, files
from client.conformance.runner.actions import ACTIONS
from client.conformance.runner.errors import ConformanceError, ScenarioFileError
from client.conformance.runner.expecting import difference
from client.conformance.runner.languages import ROOT
from client.conformance.runner.network import BitFlipper
from client.conformance.runner.playing import Outcome
from client.conformance.runner.scenarios import OPS, load_scenarios
from client.conformance.runner.table import Results

MARKER = b"a marker of some length"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1}, id="same"),
        pytest.param({"a": 1.0}, {"a": 1}, id="numbers of two kinds"),
        pytest.param({"a": [1, "x", None]}, {"a": [1, "x", None]}, id="list"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"$subset": {"b": 1}}}, id="subset"),
        pytest.param("abc", {"$contains": "b"}, id="contains"),
        pytest.param("abc", {"$matches": "a.c"}, id="matches"),
        pytest.param("abc", {"$any": True}, id="any"),
        pytest.param("", {"$in": ["", "x"]}, id="in"),
        pytest.param(5, {"$least": 5, "$most": 5}, id="between"),
    ],
)
def test_what_is_expected_is_accepted(found: object, expected: object) -> None:
    assert difference(found, expected) == ""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, id="more fields"),
        pytest.param({}, {"a": 1}, id="fewer fields"),
        pytest.param({"a": True}, {"a": 1}, id="a boolean is no number"),
        pytest.param({"a": 1}, {"a": True}, id="a number is no boolean"),
        pytest.param({"a": "1"}, {"a": 1}, id="a text is no number"),
        pytest.param({"a": 1}, {"a": "1"}, id="a number is no text"),
        pytest.param([1], [1, 2], id="fewer items"),
        pytest.param([1, 2], [1], id="more items"),
        pytest.param([2, 1], [1, 2], id="another order"),
        pytest.param(None, {"a": 1}, id="nothing"),
        pytest.param({"a": {"c": 2}}, {"a": {"$subset": {"b": 1}}}, id="no subset"),
        pytest.param("", {"$any": True}, id="empty"),
        pytest.param(4, {"$least": 5}, id="too little"),
        pytest.param(6, {"$least": 5, "$most": 5}, id="too much"),
        pytest.param(None, {"$most": 5}, id="no number"),
    ],
)
def test_what_differs_is_told(found: object, expected: object) -> None:
    assert difference(found, expected)


@pytest.mark.parametrize("cut", range(len(MARKER) + 2))
def test_a_bit_is_flipped_in_a_marker_however_it_is_cut(cut: int) -> None:
    flipper = BitFlipper(MARKER, up=True, once=False)
    change = flipper.begin(True)
    assert change is not None
    data = b"." + MARKER + b"." + MARKER
    came = change(data[:cut]) + change(data[cut:])
    assert len(came) == len(data)
    assert [place for place in range(len(data)) if came[place] != data[place]] == [len(MARKER), len(data) - 1]
    assert flipper.flipped == 2
    assert flipper.begin(False) is None


def test_only_the_first_marker_is_changed_once() -> None:
    flipper = BitFlipper(MARKER, up=True, once=True)
    first, second = flipper.begin(True), flipper.begin(True)
    assert first is not None
    assert second is not None
    assert first(MARKER + MARKER)[len(MARKER) :] == MARKER
    assert second(MARKER) == MARKER
    assert flipper.flipped == 1


def test_the_runner_makes_the_digests_that_the_page_prints(tmp_path: Path) -> None:
    printed = digests.printed_vectors((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"))
    file = tmp_path / "file"
    for name, data in (("empty file", b""), ("`hello`", b"hello"), ("8,388,609 zero bytes", bytes(8_388_609))):
        file.write_bytes(data)
        assert digests.file_digest(file) == printed[name]
    hello = hashlib.sha256(b"hello").hexdigest()
    entries = [
        {"path": "run", "executable": True, "digest": hashlib.sha256().hexdigest()},
        {"path": "d/hello", "size": 5, "digest": hello},
        {"path": "d", "directory": True},
    ]
    (tree,) = [digest for name, digest in printed.items() if name.startswith("tree")]
    assert digests.tree_digest(map(files.tree_entry, entries)) == tree


def test_the_readme_describes_the_ops_that_scenarios_may_use() -> None:
    page = (ROOT / "client" / "conformance" / "README.md").read_text(encoding="utf-8")
    described = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert described == list(OPS)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        pytest.param({"ask": "fly"}, "no driver knows", id="an op that there is not"),
        pytest.param({"ask": "connect"}, "takes", id="an argument is missing"),
        pytest.param({"ask": "close", "with": {"now": True}}, "takes", id="an argument too many"),
        pytest.param({"dance": {}}, "cannot dance", id="an action that there is not"),
        pytest.param({"make_file": {"path": "x"}}, "size", id="an action without its argument"),
        pytest.param({"ask": "close", "exspect": {}}, "one thing", id="a field that there is not"),
        pytest.param({"ask": "close", "expect": {}, "expect_error": {}}, "an answer and an error", id="both"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(step: object, told: str, tmp_path: Path) -> None:
    content = {"scenarios": {"odd": {"about": "Odd.", "steps": [step]}}}
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ScenarioFileError, match=told):
        load_scenarios(ACTIONS, tmp_path)


def test_directories_that_differ_are_told_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        files.make_tree(path, 3, random.Random("tree"), 100)
    files.compare(one, other)
    (one / ".holdfast-part").touch()
    files.compare(one, other)
    (one / "run.sh").chmod(0o644)
    with pytest.raises(ConformanceError, match="executable"):
        files.compare(one, other)
    (one / "run.sh").chmod(0o755)
    (one / "empty" / "directory").rmdir()
    with pytest.raises(ConformanceError, match="lacks"):
        files.compare(one, other)


def test_the_table_shows_what_failed_and_what_is_missing() -> None:
    outcomes = {"python": {"a": Outcome(1.25), "long_name": Outcome(0.5, "wrong")}}
    assert Results("local", ["a", "long_name"], outcomes, {"go": "no Go"}).table().splitlines() == [
        "local       python       go",
        "a            1.2 s  missing",
        "long_name   FAILED  missing",
        "               1/2  missing",
    ]
