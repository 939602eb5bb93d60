"""``holdfast experiments``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.client.cli_runs import in_process, json_lines, rows
from tests.client.conftest import ServerThread

Command = Callable[..., str]


@pytest.fixture
def experiments(server: ServerThread) -> Command:
    """Runs ``holdfast experiments``; returns what it prints, or its errors when it shall fail."""
    return lambda *args, expect=0: in_process(server.uri, "experiments", *args, expect=expect)


def test_an_experiment_lives_by_commands(experiments, client, name):
    experiment_id = experiments("create", name, "--tag", "team=ocr", "--tag", "note=a=b").strip()
    assert client.get_experiment(experiment_id).tags == {"team": "ocr", "note": "a=b"}
    assert "taken" in experiments("create", name, expect=1) or "exists" in experiments("create", name, expect=1)
    assert experiments("rename", name, f"{name}-2") == f"experiment {experiment_id} is called {name}-2 now\n"
    experiments("set-tag", f"{name}-2", "team=b", "empty=")
    experiments("delete-tag", f"{name}-2", "note", "never")
    (shown,) = json_lines(experiments("show", experiment_id, "--json"))
    assert (shown["name"], shown["tags"]) == (f"{name}-2", {"team": "b", "empty": ""})
    run = client.create_run(experiment_id)
    assert f"`holdfast experiments restore {experiment_id}` undoes it" in experiments("delete", f"{name}-2")
    assert run.refresh().info.lifecycle_stage == "deleted"
    assert "deleted" in experiments("set-tag", experiment_id, "a=b", expect=1)
    (restored,) = json_lines(experiments("restore", experiment_id, "--json"))
    assert restored["lifecycle_stage"] == "active"
    assert run.refresh().info.lifecycle_stage == "active"


def test_where_artifacts_were_said_to_be_is_kept(experiments, client, name):
    experiment_id = experiments("create", name, "--artifact-location", "s3://bucket/ocr").strip()
    assert client.get_experiment(experiment_id).artifact_location == "s3://bucket/ocr"
    assert "s3://bucket/ocr" in experiments("show", name)


def test_experiments_are_listed_by_filter_order_and_stage(experiments, client, name):
    ids = [client.create_experiment(f"{name}-{letter}", tags={"team": letter}) for letter in "abc"]
    client.delete_experiment(ids[1])
    mine = ("--filter", f"name LIKE '{name}%'")
    found = rows(experiments("ls", *mine, "--order-by", "name DESC"))
    assert [row[:2] for row in found] == [["ID", "NAME"], [ids[2], f"{name}-c"], [ids[0], f"{name}-a"]]
    assert found[1][-1] == "team=c"
    assert [row[2] for row in rows(experiments("ls", *mine, "--view", "all"))] == [
        "STAGE",
        "active",
        "deleted",
        "active",
    ]
    (deleted,) = json_lines(experiments("ls", *mine, "--view", "deleted", "--json"))
    assert deleted["experiment_id"] == ids[1]
    assert "column" in experiments("ls", "--filter", "nam = 'x'", expect=1)


def test_lists_end_where_they_are_told_and_say_so(experiments, client, name, capsys):
    for letter in "abc":
        client.create_experiment(f"{name}-{letter}")
    mine = ("ls", "--filter", f"name LIKE '{name}%'", "--json")
    assert len(json_lines(experiments(*mine, "--limit", "3"))) == 3
    assert len(json_lines(experiments(*mine, "--max", "2"))) == 2
    assert len(json_lines(experiments(*mine, "--max", "2", "--all"))) == 3


def test_nothing_is_deleted_when_one_of_several_is_not_there(experiments, client, name):
    experiment_id = client.create_experiment(name)
    error = experiments("delete", experiment_id, f"{name}-never", expect=1)
    assert "There is no experiment with the id or name" in error
    assert "`holdfast experiments ls` lists" in error
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"


def test_a_name_that_is_an_id_too_is_not_guessed(experiments, client, name):
    first = client.create_experiment(name)
    second = client.create_experiment(first)
    error = experiments("show", first, expect=2)
    assert f"write id:{first} or name:{first}" in error
    assert f"name     {name}\n" in experiments("show", f"id:{first}")
    assert f"id       {second}\n" in experiments("show", f"name:{first}")
    client.rename_experiment(second, f"{name}-2")
    assert f"name     {name}\n" in experiments("show", first)


def test_tags_cannot_steer_the_terminal(experiments, client, name):
    experiment_id = client.create_experiment(f"{name} 文字", tags={"note": "\x1b[31mred\nline"})
    for output in (experiments("show", experiment_id), experiments("ls", "--filter", f"name = '{name} 文字'")):
        assert "\x1b" not in output
        assert "\\x1b[31mred line" in output
