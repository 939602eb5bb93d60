"""`holdfast config show` tells what is set, by what, and no secret."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from holdfast._variables import VARIABLES
from holdfast.cli import cli


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)


def config(*arguments: str, uri: str | None = None) -> Result:
    return CliRunner().invoke(cli, [*(["--uri", uri] if uri else []), "config", "show", *arguments])


def rows(done: Result) -> dict[str, dict[str, object]]:
    assert done.exit_code == 0, done.output
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_each_variable_is_told_with_its_value_and_its_origin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_CACHE_SIZE", "20G")
    monkeypatch.setenv("HOLDFAST_URI", "holdfast://localhost:1")
    found = rows(config("--json"))
    assert set(found) == {variable.name for variable in VARIABLES}
    assert found["HOLDFAST_CACHE_SIZE"] == {
        "name": "HOLDFAST_CACHE_SIZE",
        "value": "20G",
        "origin": "HOLDFAST_CACHE_SIZE",
        "masked": False,
    }
    assert found["HOLDFAST_PROGRESS"]["origin"] == "default"
    assert found["HOLDFAST_URI"]["value"] == "holdfast://localhost:1"
    option = rows(config("--json", uri="holdfast://localhost:2"))["HOLDFAST_URI"]
    assert (option["value"], option["origin"]) == ("holdfast://localhost:2", "--uri")


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_TOKEN", "hunter2")
    for arguments in ([], ["--json"]):
        done = config(*arguments)
        assert "hunter2" not in done.output
        assert "***" in done.stdout
    done = config(uri="holdfast://me:hunter2@localhost:1")
    assert done.exit_code == 1
    assert "holdfast://***@localhost:1" in done.stdout
    assert "hunter2" not in done.output


def test_a_broken_value_is_shown_and_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOLDFAST_STRICT", "maybe")
    done = config()
    assert done.exit_code == 1
    assert "HOLDFAST_STRICT is true or false, not 'maybe'" in done.stderr
    assert done.stdout.count("\n") == len(VARIABLES) + 1
