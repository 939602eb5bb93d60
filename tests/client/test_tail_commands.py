"""``holdfast experiments tail`` and ``holdfast models tail``."""

from __future__ import annotations

import json
import signal

import pytest
from tests.client.cli_runs import in_process
from tests.client.test_run_tail_command import tailing, without_time


@pytest.fixture
def model(client, run_id, name):
    """A registered model with two versions, of which the first is prod."""
    client.log_text(run_id, "x", "model/MLmodel")
    client.create_registered_model(name)
    for _ in range(2):
        client.create_model_version(name, f"runs:/{run_id}/model")
    client.set_alias(name, "prod", 1)
    return name


def test_an_experiment_is_followed_with_all_in_it_until_it_is_deleted(server, client, experiment_id, name):
    client.set_experiment_tag(experiment_id, "team", "b")
    with tailing(server.uri, f"experiment-{name}", of="experiments") as process:
        head = [process.stdout.readline() for _ in range(3)]
        assert without_time("".join(head)) == [
            f"experiment  name       experiment-{name}",
            "experiment  stage      active",
            "experiment  tag        team = b",
        ]
        run = client.create_run(experiment_id, run_name="first")
        client.log_metric(run.info.run_id, "loss", 0.25, step=7, synchronous=True)
        run.set_tag("note", "two\nlines")
        logged = client.create_logged_model(experiment_id, "tree")
        client.finalize_logged_model(logged.model_id, "READY")
        run.end()
        run.delete()
        client.set_experiment_tag(experiment_id, "team", "c")
        client.delete_experiment(experiment_id)
        of_run, of_model = f"run {run.info.run_id}", f"model {logged.model_id}"
        assert without_time(process.stdout.read()) == [
            f"{of_run}  created",
            f"{of_run}  name       first",
            f"{of_run}  status     RUNNING",
            f"{of_run}  metric     loss = 0.25 (step 7)",
            f"{of_run}  tag        note = two lines",
            f"{of_model}  created",
            f"{of_model}  name       tree",
            f"{of_model}  status     PENDING",
            f"{of_model}  status     READY",
            f"{of_run}  status     FINISHED",
            f"{of_run}  deleted",
            "experiment  tag        team = c",
            "experiment  deleted",
        ]
        assert process.wait(120) == 0
    with tailing(server.uri, experiment_id, of="experiments") as process:
        assert without_time(process.stdout.read())[1] == "experiment  stage      deleted"
        assert process.wait(120) == 0


def test_an_experiment_is_followed_on_behind_a_cursor_by_types_of_events(server, client, experiment_id):
    with tailing(server.uri, experiment_id, "--json", of="experiments") as process:
        cursor = json.loads(process.stdout.readline())["cursor"]
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    run = client.create_run(experiment_id)
    client.log_metric(run.info.run_id, "loss", 1, synchronous=True)
    run.end()
    client.delete_experiment(experiment_id)
    options = ["--cursor", cursor, "--json", "--type", "metrics", "--type", "deleted"]
    with tailing(server.uri, experiment_id, *options, of="experiments") as process:
        found = [json.loads(line) for line in process.stdout]
        assert process.wait(120) == 0
    assert [(event["subject"], event["type"]) for event in found] == [("RUN", "METRICS"), ("EXPERIMENT", "DELETED")]
    with tailing(server.uri, experiment_id, "--cursor", found[-1]["cursor"], of="experiments") as process:
        assert process.stdout.read() == ""
        assert process.wait(120) == 0


def test_a_model_is_followed_until_it_is_deleted(server, client, model, run_id):
    with tailing(server.uri, model, of="models") as process:
        head = [process.stdout.readline() for _ in range(3)]
        assert without_time("".join(head)) == [
            f"model  name       {model}",
            f"version 2  source     runs:/{run_id}/model",
            "alias prod  names      version 1",
        ]
        client.create_model_version(model, f"runs:/{run_id}/model", tags={"checked": "yes"})
        client.promote(model, 3, ["prod"], stage="Production")
        client.delete_alias(model, "prod")
        client.update_registered_model(model, "Reads.")
        client.rename_registered_model(model, f"{model}-2")
        client.delete_registered_model(f"{model}-2")
        assert without_time(process.stdout.read()) == [
            "version 3  created",
            f"version 3  source     runs:/{run_id}/model",
            "version 3  tag        checked = yes",
            "version 3  stage      Production",
            "alias prod  names      version 3",
            "alias prod  names      nothing",
            "model  description  Reads.",
            f"model  name       {model}-2",
            "model  deleted",
        ]
        assert process.wait(120) == 0


def test_only_what_an_alias_names_is_followed(server, client, model):
    with tailing(server.uri, f"{model}@prod", of="models") as process:
        assert without_time(process.stdout.readline()) == ["alias prod  names      version 1"]
        client.set_alias(model, "other", 1)
        client.set_alias(model, "prod", 2)
        assert without_time(process.stdout.readline()) == ["alias prod  names      version 2"]
        client.delete_registered_model(model)
        assert without_time(process.stdout.read()) == ["model  deleted"]
        assert process.wait(120) == 0


def test_behind_the_end_of_a_model_there_is_nothing(server, client, model):
    with client.watch_model(model) as watch:
        next(watch)
        client.delete_registered_model(model)
        *_, last = watch
    with tailing(server.uri, model, "--cursor", last.cursor, of="models") as process:
        assert process.stdout.read() == ""
        assert process.wait(120) == 0


def test_what_cannot_be_followed_is_an_error(server):
    assert "never changes its files" in in_process(server.uri, "models", "tail", "m/1", expect=2)
    assert "never changes its files" in in_process(server.uri, "models", "tail", "m/latest", expect=2)
    assert "There is no" in in_process(server.uri, "models", "tail", "never", expect=1)
    assert "There is no" in in_process(server.uri, "experiments", "tail", "never", expect=1)
