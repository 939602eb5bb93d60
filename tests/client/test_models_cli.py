"""``holdfast models`` and the archives of ``holdfast runs``, run as a user does."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests.client.cli_runs import PROGRAM, in_process, in_terminal, json_lines, rows
from tests.client.conftest import ServerThread
from tests.server_process import clean_environment

from holdfast._client import Client
from holdfast._context import user_name

Command = Callable[..., str]


@pytest.fixture
def holdfast(server: ServerThread) -> Command:
    """Runs the command; returns what it prints, or its errors when it shall fail."""

    def run(*args: str, expect: int = 0, uri: str = server.uri, typed: str | None = None) -> str:
        done = subprocess.run(
            [PROGRAM, "--uri", uri, *args],
            capture_output=True, text=True, timeout=120, check=False, env=clean_environment(), input=typed,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stderr if expect else done.stdout

    return run


@pytest.fixture
def model(client: Client, run_id: str, name: str) -> Iterator[str]:
    """A registered model with three versions; the first is prod."""
    client.log_text(run_id, "flavors: {}", "model/MLmodel")
    client.create_registered_model(name, {"team": "ocr"}, "Reads\nletters.")
    for _ in range(3):
        client.create_model_version(name, f"runs:/{run_id}/model")
    client.set_alias(name, "prod", 1)
    yield name
    if client.search_registered_models(f"name = '{name}'"):
        client.delete_registered_model(name)


def test_models_are_listed(holdfast, model):
    found = rows(holdfast("models", "list", "--filter", f"name = '{model}'"))
    assert found[0] == ["NAME", "LATEST", "ALIASES", "CHANGED", "DESCRIPTION"]
    assert found[1][:3] == [model, "3", "prod=1"]
    assert found[1][4] == "Reads letters."
    (line,) = holdfast("models", "list", "--filter", f"name = '{model}'", "--json").splitlines()
    listed = json.loads(line)
    assert (listed["name"], listed["aliases"], listed["tags"]) == (model, {"prod": "1"}, {"team": "ocr"})
    assert "column" in holdfast("models", "list", "--filter", "nam = 'x'", expect=1)


def test_a_model_is_shown_with_its_versions(holdfast, model, run_id):
    text = holdfast("models", "show", model)
    assert f"name         {model}\n" in text
    assert "tag team     ocr\n" in text
    versions = rows(text.partition("\n\n")[2])
    assert [row[:1] for row in versions] == [["VERSION"], ["3"], ["2"], ["1"]]
    assert versions[3][1] == "prod"
    shown = json.loads(holdfast("models", "show", model, "--json"))
    assert [version["version"] for version in shown["versions"]] == ["3", "2", "1"]
    assert "REGISTERED_MODEL" not in holdfast("models", "show", "never", expect=1)


@pytest.mark.parametrize("form", ["{}/1", "{}@prod", "models:/{}/1", "models:/{}@prod"])
def test_a_version_is_shown_by_number_or_alias(holdfast, model, run_id, form):
    shown = json.loads(holdfast("models", "show", form.format(model), "--json"))
    assert (shown["version"], shown["aliases"], shown["run_id"]) == ("1", ["prod"], run_id)
    assert f"version     {model}/1\n" in holdfast("models", "show", form.format(model))


def test_the_newest_version_is_shown(holdfast, model):
    assert json.loads(holdfast("models", "show", f"{model}/latest", "--json"))["version"] == "3"
    assert "names no model" in holdfast("models", "show", f"{model}/x", expect=2)


def test_history_tells_who_did_what(holdfast, model):
    holdfast("models", "promote", model, "2", "--alias", "prod", "--tag", "checked=yes")
    found = rows(holdfast("models", "history", model, "--max", "2"))
    assert found[0] == ["WHEN", "WHO", "VERSION", "WHAT"]
    assert [row[1:] for row in found[1:]] == [
        [user_name(), "2", "alias prod: 1 -> 2"],
        [user_name(), "2", "tag checked: nothing -> yes"],
    ]
    changes = [json.loads(line) for line in holdfast("models", "history", model, "--json").splitlines()]
    assert [change["kind"] for change in changes[-3:]] == ["TAG_CHANGED", "DESCRIPTION_CHANGED", "MODEL_CREATED"]
    assert {change["version"] for change in changes} == {None, "1", "2", "3"}
    one = holdfast("models", "history", model, "--version", "3", "--json").splitlines()
    assert [json.loads(line)["kind"] for line in one] == ["VERSION_CREATED"]
    assert "models list" in holdfast("models", "history", f"{model}-never", expect=1)


def test_promotion_says_by_its_exit_code_that_somebody_was_faster(holdfast, model, client):
    text = holdfast("models", "promote", model, "2", "--alias", "prod", "--expect", "prod=1", "--stage", "staging")
    assert text == f"{model} version 2, named by prod, in stage Staging\n"
    error = holdfast("models", "promote", model, "3", "--alias", "prod", "--expect", "prod=1", expect=3)
    assert error.startswith("Error: Alias 'prod'")
    assert "names version 2 now" in error
    assert client.get_registered_model(model).aliases == {"prod": "2"}
    options = ["--alias", "eu", "--remove-alias", "prod", "--expect", "eu=absent", "--description", "d", "--json"]
    promoted = json.loads(holdfast("models", "promote", model, "3", *options))
    assert (promoted["aliases"], promoted["description"]) == (["eu"], "d")
    assert "not key=value" in holdfast("models", "promote", model, "3", "--tag", "x", expect=2)
    assert "Say what shall change" in holdfast("models", "promote", model, "3", expect=1)


def test_aliases_are_set_told_and_removed(holdfast, model, client):
    assert holdfast("models", "alias", model, "prod") == f"{model}@prod names version 1\n"
    assert holdfast("models", "alias", model, "prod", "2", "--expect", "1") == f"{model}@prod names version 2\n"
    holdfast("models", "alias", model, "prod", "3", "--expect", "absent", expect=3)
    holdfast("models", "alias", model, "prod", "--delete", "--expect", "1", expect=3)
    found = json.loads(holdfast("models", "alias", model, "prod", "--delete", "--expect", "2", "--json"))
    assert found == {"name": model, "alias": "prod", "version": None}
    assert client.get_registered_model(model).aliases == {}
    holdfast("models", "alias", model, "prod", expect=1)
    holdfast("models", "alias", model, "prod", "2", "--delete", expect=2)
    holdfast("models", "alias", model, "prod", "--expect", "2", expect=2)


def test_deleting_asks_first(holdfast, model, client):
    error = holdfast("models", "rm", model, "1", expect=2)
    assert f"version 1 of {model} and 1 alias (prod) would be deleted for good" in error
    assert len(client.search_model_versions(f"name = '{model}'")) == 3
    gone = holdfast("models", "rm", model, "1", "3", "--yes", "--json").splitlines()
    assert [json.loads(line)["version"] for line in gone] == ["1", "3"]
    assert [version.version for version in client.search_model_versions(f"name = '{model}'")] == ["2"]
    holdfast("models", "rm", model, "2", "9", "--yes", expect=1)
    assert [version.version for version in client.search_model_versions(f"name = '{model}'")] == ["2"]
    holdfast("models", "rm", model, "--yes")
    holdfast("models", "show", model, expect=1)


def test_a_version_is_moved_by_commands(holdfast, model, tmp_path):
    file = tmp_path / "model.tar"
    text = holdfast("models", "export", model, "1", str(file))
    assert text == f"{model} version 1 is in {file} ({file.stat().st_size / 1024:.1f} KiB)\n"
    elsewhere = str(tmp_path / "store")
    imported = json.loads(holdfast("models", "import", str(file), "--json", uri=elsewhere))
    assert (imported["name"], imported["version"]) == (model, "1")
    text = holdfast("models", "import", str(file), "--name", "other", uri=elsewhere)
    assert text.startswith("other version 1 (sha256 ")
    file.write_bytes(file.read_bytes()[:-1])
    assert "The archive is damaged: it is cut off." in holdfast("models", "import", str(file), expect=1)
    assert "No such file" not in holdfast("models", "export", model, "9", str(file), expect=1)
    holdfast("models", "import", str(tmp_path / "absent"), expect=2)


def test_a_run_is_moved_by_commands(holdfast, client, run_id, tmp_path):
    client.log_metric(run_id, "loss", 0.5)
    file = tmp_path / "run.tar"
    exported = json.loads(holdfast("runs", "export", run_id, str(file), "--json"))
    assert (exported["info"]["run_id"], exported["file_size"]) == (run_id, file.stat().st_size)
    elsewhere = str(tmp_path / "store")
    assert holdfast("runs", "import", str(file), uri=elsewhere).startswith(f"run {run_id} (")
    imported = json.loads(holdfast("runs", "import", str(file), "--json", uri=elsewhere))
    assert imported["data"]["metrics"] == {"loss": 0.5}
    assert "that this archive did not make" in holdfast("runs", "import", str(file), expect=1)


@pytest.mark.parametrize("columns", [70, 100])
def test_tables_fit_the_terminal(server, client, model, columns):
    client.update_registered_model(model, "Reads\x1b[31m letters 文字文字 " * 20)
    lines = in_terminal(["--uri", server.uri, "models", "list", "--filter", f"name = '{model}'"], columns)
    assert len(lines) == 2
    assert all(len(line) + line.count("文") + line.count("字") <= columns for line in lines)
    assert lines[1].startswith(f"{model} ")
    assert lines[1].endswith("…")
    assert "\\x1b[31m" in lines[1] or columns == 70


def test_times_of_models_are_shortened_and_not_cut(server, client, model):
    client.update_registered_model(model, "d" * 100)
    for columns, time in ((100, r"\d{4}-\d\d-\d\d \d\d:\d\d"), (60, r"\d{4}-\d\d-\d\d")):
        _, line = in_terminal(["--uri", server.uri, "models", "list", "--filter", f"name = '{model}'"], columns)
        assert len(line) <= columns
        assert re.search(rf"  {time}  d+…$", line), line


def test_versions_are_searched(server, client, model, run_id):
    def versions(*args: str, expect: int = 0) -> str:
        return in_process(server.uri, "models", "versions", *args, expect=expect)

    client.set_model_version_tag(model, 2, "checked", "yes")
    found = rows(versions(model, "--order-by", "version_number ASC"))
    assert found[0] == ["NAME", "VERSION", "ALIASES", "REGISTERED", "BY", "TAGS", "SOURCE"]
    assert [row[:2] for row in found[1:]] == [[model, "1"], [model, "2"], [model, "3"]]
    assert found[1][2] == "prod"
    assert found[2][-2:] == ["checked=yes", f"runs:/{run_id}/model"]
    (only,) = json_lines(versions(model, "--filter", "tags.checked = 'yes'", "--json"))
    assert (only["version"], only["tags"]) == ("2", {"checked": "yes"})
    everywhere = json_lines(versions("--filter", f"run_id = '{run_id}'", "--all", "--json"))
    assert [version["version"] for version in everywhere] == ["3", "2", "1"]
    assert len(rows(versions(model, "--max", "2"))) == 3
    assert "There is no registered model" in versions("never", expect=1)
    assert "names one version" in versions(f"{model}/1", expect=2)
    assert "column" in versions("--filter", "nam = 'x'", expect=1)


def test_models_are_made_and_changed_by_commands(holdfast, client, run_id, name):
    client.log_text(run_id, "flavors: {}", "model/MLmodel")
    assert holdfast("models", "create", name, "--tag", "team=a", "--description", "Reads.") == f"{name}\n"
    holdfast("models", "create", name, expect=1)
    text = holdfast("models", "register", name, f"runs:/{run_id}/model", "--tag", "acc=0.9", "--description", "first")
    assert text == f"{name} version 1\n"
    client.set_alias(name, "prod", 1)
    holdfast("models", "set-tag", name, "team=b", "kind=ocr")
    holdfast("models", "delete-tag", name, "team")
    holdfast("models", "set-tag", f"{name}@prod", "checked=yes", "by=me")
    version = json.loads(holdfast("models", "delete-tag", f"{name}/1", "by", "never", "--json"))
    assert (version["tags"], version["description"]) == ({"acc": "0.9", "checked": "yes"}, "first")
    holdfast("models", "describe", f"{name}/latest", "second")
    assert client.get_model_version(name, 1).description == "second"
    assert holdfast("models", "copy", f"models:/{name}@prod", f"{name}-copy") == f"{name}-copy version 1\n"
    assert "names no version" in holdfast("models", "copy", name, f"{name}-copy", expect=2)
    renamed = json.loads(holdfast("models", "rename", name, f"{name}-2", "--json"))
    assert (renamed["name"], renamed["tags"]) == (f"{name}-2", {"kind": "ocr"})
    assert json.loads(holdfast("models", "describe", f"{name}-2", "All.", "--json"))["description"] == "All."
    for made in (f"{name}-2", f"{name}-copy"):
        client.delete_registered_model(made)


def test_ls_and_list_are_the_same(holdfast, model):
    mine = ("--filter", f"name = '{model}'")
    assert holdfast("models", "ls", *mine) == holdfast("models", "list", *mine)
    assert holdfast("experiments", "list") == holdfast("experiments", "ls")


def test_pickles_are_forbidden_and_permitted_with_a_record(holdfast, client, model):
    assert json.loads(holdfast("models", "set", model, "--forbid-pickle", "--json"))["pickle_forbidden"] is True
    assert client.get_registered_model(model).pickle_forbidden
    assert "forbidden" in holdfast("models", "show", model)
    holdfast("models", "set", model, "--forbid-pickle")  # as it is already: no change, no record
    holdfast("models", "set", model, "--permit-pickle")
    assert not client.get_registered_model(model).pickle_forbidden
    told = [row[-1] for row in rows(holdfast("models", "history", model))]
    assert [line for line in told if "pickles" in line] == [
        "pickles: forbidden -> allowed",
        "pickles: allowed -> forbidden",
    ]
    assert "--forbid-pickle" in holdfast("models", "set", model, expect=2)
