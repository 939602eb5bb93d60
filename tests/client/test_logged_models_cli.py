"""``holdfast logged-models``."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from tests.client.cli_runs import in_process, in_terminal, json_lines, rows
from tests.client.conftest import ServerThread

from holdfast.entities import Dataset, LoggedModel

Command = Callable[..., str]


@pytest.fixture
def logged(server: ServerThread) -> Command:
    """Runs ``holdfast logged-models``; returns what it prints, or its errors when it shall fail."""
    return lambda *args, expect=0: in_process(server.uri, "logged-models", *args, expect=expect)


@pytest.fixture
def two(client, experiment_id, run_id) -> list[LoggedModel]:
    """Two models of a run, measured on a dataset and without one."""
    made = []
    for depth, acc in ((1, 0.5), (2, math.nan)):
        model = client.create_logged_model(
            experiment_id, f"tree-{depth}", run_id, {"team": "b"}, {"depth": depth}, "classifier"
        )
        client.log_metric(run_id, "acc", acc, step=depth, model_id=model.model_id)
        client.finalize_logged_model(model.model_id, "READY")
        made.append(model)
    iris = Dataset("iris", "d1", "local", "/data")
    client.log_input(run_id, iris)
    client.log_metric(
        run_id, "acc", 0.9, dataset_name="iris", dataset_digest="d1", model_id=made[0].model_id, synchronous=True
    )
    return made


def test_models_are_listed_by_experiment_run_filter_dataset_and_order(logged, two, experiment_id, run_id, name):
    ids = [model.model_id for model in two]
    order = ["--order-by", "name ASC"]
    found = rows(logged("ls", "-e", f"experiment-{name}", *order))
    assert found[0] == ["MODEL ID", "EXPERIMENT", "STATUS", "CREATED", "NAME", "METRICS"]
    assert [row[:3] for row in found[1:]] == [[ids[0], experiment_id, "READY"], [ids[1], experiment_id, "READY"]]
    assert sorted(found[1][5].split()) == ["acc=0.5", "acc[iris]=0.9"]
    assert found[2][4:] == ["tree-2", "acc=nan"]
    assert logged("ls", "--run", run_id[:12], *order, "--ids").split() == ids
    assert logged("ls", "-e", experiment_id, "--filter", "params.depth = '2'", "--ids").split() == ids[1:]
    assert logged("ls", "-e", experiment_id, "--dataset", "iris", "--ids").split() == ids[:1]
    assert (
        logged("ls", "--filter", f"source_run_id = '{run_id}'", "--order-by", "name DESC", "--ids").split() == ids[::-1]
    )
    assert logged("ls", "-e", experiment_id, *order, "--max", "1", "--ids").split() == ids[:1]
    whole = json_lines(logged("ls", "-e", experiment_id, *order, "--all", "--json"))
    assert [model["params"] for model in whole] == [{"depth": "1"}, {"depth": "2"}]
    assert whole[1]["metrics"][0]["value"] == "NaN"
    assert "column" in logged("ls", "-e", experiment_id, "--filter", "nam = 'x'", expect=1)


def test_a_model_is_shown_whole(logged, client, two, run_id, name):
    model_id = two[0].model_id
    version = client.create_model_version(name, f"models:/{model_id}", create_registered_model=True)
    text = logged("show", f"models:/{model_id}")
    pairs = dict(rows(text.partition("\n\n")[0]))
    assert pairs.items() >= {
        "model": model_id, "name": "tree-1", "run": run_id, "type": "classifier", "status": "READY",
        "versions": f"{name}/{version.version}", "param depth": "1", "tag team": "b",
    }.items()  # fmt: skip
    metrics = rows(text.partition("\n\n")[2])
    assert metrics[0] == ["METRIC", "LATEST", "STEP", "DATASET", "DIGEST", "RUN"]
    assert sorted(metrics[1:]) == [
        ["acc", "0.5", "1", "-", "-", run_id],
        ["acc", "0.9", "0", "iris", "d1", run_id],
    ]
    (whole,) = json_lines(logged("show", two[1].model_id, "--json"))
    assert whole["metrics"][0]["value"] == "NaN"
    assert "`holdfast logged-models ls` lists" in logged("show", "m-" + "0" * 32, expect=1)


def test_models_are_named_by_the_beginning_of_their_ids(logged, two):
    assert dict(rows(logged("show", two[0].model_id[:14]).partition("\n\n")[0]))["name"] == "tree-1"
    assert "begins with 'm-00000000'" in logged("show", "m-00000000", expect=1)


def test_tags_are_set_and_removed(logged, client, two):
    model_id = two[0].model_id
    (changed,) = json_lines(logged("set-tag", model_id, "a=1", "b=x=y", "--json"))
    assert changed["tags"] == {"team": "b", "a": "1", "b": "x=y"}
    assert logged("delete-tag", model_id, "a", "never", "team") == ""
    assert client.get_logged_model(model_id).tags == {"b": "x=y"}
    assert "is not key=value" in logged("set-tag", model_id, "a", expect=2)


def test_models_are_deleted_and_restored(logged, two, experiment_id):
    ids = [model.model_id for model in two]
    assert "There is no" in logged("delete", ids[0], "m-" + "0" * 32, expect=1)
    assert len(logged("ls", "-e", experiment_id, "--ids").split()) == 2
    assert f"`holdfast logged-models restore {ids[0]}` undoes it" in logged("delete", *ids)
    assert logged("ls", "-e", experiment_id, "--ids") == ""
    deleted = rows(logged("ls", "-e", experiment_id, "--view", "deleted"))
    assert deleted[0][3] == "STAGE"
    assert [row[3] for row in deleted[1:]] == ["deleted", "deleted"]
    assert dict(rows(logged("show", ids[0]).partition("\n\n")[0]))["stage"] == "deleted"
    assert [model["lifecycle_stage"] for model in json_lines(logged("restore", *ids, "--json"))] == ["active"] * 2


def test_lists_of_models_fit_the_terminal(server, two, experiment_id):
    lines = in_terminal(["--uri", server.uri, "logged-models", "ls", "-e", experiment_id], 80)
    assert all(len(line) <= 80 for line in lines)
    assert {line.split()[0] for line in lines[1:]} == {model.model_id[:12] for model in two}
