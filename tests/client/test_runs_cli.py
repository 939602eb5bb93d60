"""``holdfast runs``: listing, showing, comparing, changing, and metrics."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import signal
import subprocess
from collections.abc import Callable

import pytest
from tests.client.cli_runs import PROGRAM, in_process, in_terminal, json_lines, rows
from tests.client.conftest import ServerThread
from tests.ports import free_port
from tests.server_process import clean_environment

from holdfast.cli import paging, tables
from holdfast.cli.runs import listing
from holdfast.cli.runs.comparing import side_by_side
from holdfast.entities import Dataset, LoggedModelOutput

Command = Callable[..., str]


@pytest.fixture
def runs(server: ServerThread) -> Command:
    """Runs ``holdfast runs``; returns what it prints, or its errors when it shall fail."""
    return lambda *args, expect=0: in_process(server.uri, "runs", *args, expect=expect)


@pytest.fixture
def three(client, experiment_id):
    """Three runs with metrics, params and tags."""
    made = []
    for number, loss in enumerate((0.5, 0.25, math.nan)):
        run = client.create_run(experiment_id, run_name=f"run {number}", tags={"team": f"t{number}"})
        run.log_params({"lr": 0.1 * number, "optimizer": "adam"})
        run.log_metrics({"loss": loss, "accuracy": 0.9})
        made.append(run)
    client.flush()
    return made


def test_runs_are_listed_by_experiment_filter_and_order(runs, three, experiment_id, name):
    found = rows(runs("ls", "-e", f"experiment-{name}", "--order-by", "metrics.loss ASC"))
    assert found[0] == ["RUN ID", "STATUS", "STARTED", "NAME", "METRICS"]
    assert [row[0] for row in found[1:]] == [three[at].info.run_id for at in (1, 0, 2)]
    assert found[1][3:] == ["run 1", "accuracy=0.9 loss=0.25"]
    assert runs("ls", "-e", experiment_id, "--filter", "metrics.loss < 0.3", "--ids") == f"{three[1].info.run_id}\n"
    everywhere = rows(runs("ls", "--filter", f"attributes.run_id = '{three[0].info.run_id}'"))
    assert everywhere[0][1] == "EXPERIMENT"
    assert everywhere[1][1] == experiment_id
    assert "`holdfast experiments ls` lists" in runs("ls", "-e", "never", expect=1)
    assert "column 15" in runs("ls", "--filter", "metrics.loss <", expect=1)


def test_columns_are_chosen(runs, three, experiment_id):
    columns = "name, metrics.loss,params.lr,tags.team,tags.never"
    found = rows(runs("ls", "-e", experiment_id, "--columns", columns, "--columns", "status", "--order-by", "run_name"))
    assert found == [
        ["NAME", "loss", "lr", "team", "never", "STATUS"],
        ["run 0", "0.5", "0.0", "t0", "-", "RUNNING"],
        ["run 1", "0.25", "0.1", "t1", "-", "RUNNING"],
        ["run 2", "nan", "0.2", "t2", "-", "RUNNING"],
    ]
    every = "id,name,status,started,ended,duration,user,experiment,stage,metrics,params,tags"
    assert len(rows(runs("ls", "-e", experiment_id, "--columns", every))[0]) == 12
    assert "metrics.KEY" in runs("ls", "--columns", "loss", expect=2)


def test_lists_are_strict_json_with_nan_as_text(runs, three, experiment_id):
    found = json_lines(runs("ls", "-e", experiment_id, "--json", "--order-by", "run_name"))
    assert [run["data"]["metrics"]["loss"] for run in found] == [0.5, 0.25, "NaN"]
    assert math.isnan(float(found[2]["data"]["metrics"]["loss"]))


def test_large_lists_are_streamed(runs, client, three, experiment_id, monkeypatch):
    whole = runs("ls", "-e", experiment_id, "--ids")
    monkeypatch.setattr(listing, "_PAGE", 1)
    monkeypatch.setattr(tables, "_ROWS", 2)
    monkeypatch.setattr("holdfast._client.Client.search_runs", None)
    assert runs("ls", "-e", experiment_id, "--ids") == whole
    assert runs("ls", "-e", experiment_id, "--ids", "--all", "--max", "1") == whole
    assert runs("ls", "-e", experiment_id, "--ids", "--limit", "2") == "".join(whole.splitlines(keepends=True)[:2])
    assert [row[0] for row in rows(runs("ls", "-e", experiment_id))[1:]] == whole.split()


def test_what_was_left_out_is_told(runs, three, experiment_id, server):
    command = [PROGRAM, "--uri", server.uri, "runs", "ls", "-e", experiment_id, "--ids", "--max"]
    for limit, told in (("2", "There is more"), ("3", "")):
        done = subprocess.run([*command, limit], capture_output=True, text=True, check=True, env=clean_environment())
        assert done.stderr.startswith(told)
        assert bool(done.stderr) == bool(told)


def test_nothing_more_is_asked_than_is_shown():
    asked = []
    found = paging.Limited((asked.append(number) or number for number in range(10)), 2)
    assert list(found) == [0, 1]
    assert (asked, found.there_is_more) == ([0, 1, 2], True)


def test_a_run_is_shown_whole(runs, client, experiment_id, name):
    run = client.create_run(
        experiment_id,
        run_name="文字",
        tags={"team": "\x1b[2Jblue", "mlflow.note.content": "two\nlines", "mlflow.source.git.commit": "c0ffee"},
    )
    run.log_param("lr", 0.1)
    for step in range(16):
        run.log_metric("loss", 1 - step / 16, step)
    run.log_metric("bad", math.nan)
    run.log_input(Dataset("iris", "d1", "local", "/data"), "train")
    model = client.create_logged_model(experiment_id, "tree", run.info.run_id)
    run.log_outputs([LoggedModelOutput(model.model_id, 7)])
    run.end("FAILED")
    text = runs("show", run.info.run_id)
    assert "\x1b" not in text
    head, *tables_shown = text.split("\n\n")
    pairs = dict(line.split(maxsplit=1) for line in head.splitlines() if not line.startswith(("param", "tag")))
    assert pairs["experiment"] == f"{experiment_id} (experiment-{name})"
    assert (pairs["name"], pairs["status"], pairs["commit"]) == ("文字", "FAILED", "c0ffee")
    assert pairs["description"] == "two lines"
    assert "param lr     0.1\n" in head + "\n"
    assert "tag team     \\x1b[2Jblue" in head
    metrics, datasets, models = map(rows, tables_shown)
    assert metrics[1] == ["bad", "NaN", "0", "-", "-", "1", "x"]
    assert metrics[2][:6] == ["loss", "0.0625", "15", "0.0625", "1", "16"]
    assert (metrics[2][6][0], metrics[2][6][-1]) == ("█", "▁")
    assert datasets[1] == ["iris", "d1", "train", "local: /data"]
    assert models[1] == [model.model_id, "made", "7"]
    (shown,) = json_lines(runs("show", run.info.run_id, "--json"))
    assert shown["data"]["metrics"] == {"bad": "NaN", "loss": 0.0625}
    assert "CHART" not in runs("show", run.info.run_id, "--no-charts")


def test_a_run_without_anything_is_shown(runs, run_id):
    assert runs("show", run_id).startswith(f"run         {run_id}\n")


def test_runs_are_named_by_the_beginning_of_their_ids_if_it_is_one_s_only(runs, client, experiment_id):
    first, second = (client.create_run(experiment_id, run_id=f"fade{end * 28}") for end in "01")
    assert json_lines(runs("show", "fade0", "--json"))[0]["info"]["run_id"] == first.info.run_id
    assert json_lines(runs("show", f"runs:/{second.info.run_id}", "--json"))[0]["info"]["run_id"] == second.info.run_id
    assert "several runs" in runs("delete", "fade", expect=2)
    assert "There is no run whose id begins with 'fadeb'" in runs("show", "fadeb", expect=1)
    assert "32 lower-case hex digits" in runs("show", "nothing", expect=1)


def test_runs_are_compared(runs, three):
    ids = [run.info.run_id for run in three]
    found = rows(runs("compare", *ids))
    assert found[0] == ["run 0", "run 1", "run 2"]
    assert found[1] == ["run", *ids]
    assert found[6:] == [
        ["param lr", "0.0", "0.1", "0.2"],
        ["param optimizer", "adam", "adam", "adam"],
        ["metric accuracy", "0.9", "0.9", "0.9"],
        ["metric loss", "0.5", "0.25", "NaN"],
    ]
    less = rows(runs("compare", *ids, "--diff", "--tags"))
    assert [row[0] for row in less[6:]] == ["param lr", "metric loss", "tag team"]
    (compared,) = json_lines(runs("compare", *ids, "--diff", "--json"))
    assert (compared["params"], compared["metrics"]) == ({"lr": ["0.0", "0.1", "0.2"]}, {"loss": [0.5, 0.25, "NaN"]})
    assert "at least two" in runs("compare", ids[0], expect=2)


def test_nan_does_not_differ_from_nan_and_what_is_absent_differs():
    one, other = {"a": math.nan, "b": 1.0, "c": 1.0}, {"a": math.nan, "b": 1.0, "d": 2.0}
    assert side_by_side([one, other], differing=True) == {"c": [1.0, None], "d": [None, 2.0]}


def test_a_run_lives_by_commands(runs, client, experiment_id, name):
    parent = runs("create", "-e", experiment_id, "--name", "parent").strip()
    options = ["--parent", parent[:12], "--tag", "team=b", "--description", "d"]
    run_id = runs("create", "-e", f"experiment-{name}", *options).strip()
    run = client.get_run(run_id)
    assert run.info.experiment_id == experiment_id
    wanted = {"mlflow.parentRunId": parent, "team": "b", "mlflow.note.content": "d", "mlflow.user": run.info.user_id}
    assert wanted.items() <= run.data.tags.items()
    runs("log", run_id, "--metric", "loss=0.5", "--metric", "nan=nan", "--step", "3", "--param", "lr=0.1")
    assert [point.step for point in client.get_metric_history(run_id, "loss")] == [3]
    assert "cannot become" in runs("log", run_id, "--param", "lr=0.2", "--metric", "loss=1", expect=1)
    assert len(client.get_metric_history(run_id, "loss")) == 1
    assert "no number" in runs("log", run_id, "--metric", "loss=much", expect=2)
    assert "Say what to log" in runs("log", run_id, expect=2)
    runs("set-tag", run_id, "a=1", "b=x=y")
    runs("delete-tag", run_id, "team")
    assert runs("delete-tag", run_id, "team") == ""
    runs("rename", run_id, "child")
    (ended,) = json_lines(runs("end", run_id, "--status", "failed", "--json"))
    assert (ended["info"]["status"], ended["info"]["run_name"]) == ("FAILED", "child")
    assert ended["data"]["tags"]["b"] == "x=y"


@pytest.mark.parametrize("option", ["--metric", "--param"])
def test_a_key_that_is_given_twice_is_refused(runs, client, run_id, option):
    assert "'a' is given twice" in runs("log", run_id, option, "a=1", option, "a=1", expect=2)
    assert "'a' is given twice" in runs("set-tag", run_id, "a=1", "a=2", expect=2)
    assert "'a' is given twice" in runs("create", "--tag", "a=1", "--tag", "a=2", expect=2)
    found = client.get_run(run_id)
    assert (found.data.metrics, found.data.params, found.data.tags.get("a")) == ({}, {}, None)


@pytest.mark.parametrize("text", ["1_000", "\u0661", "0x10", "", "one"])
def test_what_only_python_takes_for_a_number_is_refused(runs, run_id, text):
    assert "is no number" in runs("log", run_id, "--metric", f"loss={text}", expect=2)


def test_tags_that_are_not_there_are_passed_over(runs, client, run_id):
    client.set_tag(run_id, "there", 1)
    (changed,) = json_lines(runs("delete-tag", run_id, "never", "there", "--json"))
    assert "there" not in changed["data"]["tags"]
    assert "There is no run" in runs("delete-tag", "0" * 32, "never", expect=1)


def test_what_a_run_read_and_made_is_linked(runs, client, experiment_id, run_id):
    ids = [client.create_logged_model(experiment_id, name).model_id for name in ("read", "made")]
    options = ["--source", "s3://data/iris", "--source-type", "s3", "--context", "training", "--tag", "a=1"]
    command = ["log-input", run_id, "--dataset", "iris", "--digest", "d1", *options, "--schema", "{}"]
    (run,) = json_lines(runs(*command, "--model", ids[0][:16], "--json"))
    (dataset,) = run["inputs"]["dataset_inputs"]
    assert dataset["dataset"] == {
        "name": "iris", "digest": "d1", "source_type": "s3", "source": "s3://data/iris", "schema": "{}", "profile": None
    }  # fmt: skip
    assert {tag["key"]: tag["value"] for tag in dataset["tags"]} == {"mlflow.data.context": "training", "a": "1"}
    assert run["inputs"]["model_inputs"] == [{"model_id": ids[0]}]
    assert runs("log-output", run_id, ids[1], "--step", "7") == ""
    assert client.get_run(run_id).outputs.model_outputs == [LoggedModelOutput(ids[1], 7)]
    assert "--digest" in runs("log-input", run_id, "--dataset", "iris", expect=2)
    assert "Name the dataset" in runs("log-input", run_id, "--digest", "d1", "--model", ids[0], expect=2)
    assert "Say what it read" in runs("log-input", run_id, expect=2)
    assert "logged-models ls" in runs("log-input", run_id, "--model", "m-" + "0" * 32, expect=1)


def test_runs_are_deleted_and_restored(runs, client, three):
    ids = [run.info.run_id for run in three[:2]]
    assert "There is no run" in runs("delete", *ids, "0" * 32, expect=1)
    assert client.get_run(ids[0]).info.lifecycle_stage == "active"
    told = runs("delete", *ids).splitlines()
    assert told[0] == f"run {ids[0]} (run 0) is deleted; `holdfast runs restore {ids[0]}` undoes it"
    experiment = three[0].info.experiment_id
    assert set(runs("ls", "-e", experiment, "--view", "deleted", "--ids").split()) == set(ids)
    assert set(runs("ls", "-e", experiment, "--view", "all", "--ids").split()) == {*ids, three[2].info.run_id}
    assert "deleted" in runs("end", ids[0], expect=1)
    assert "deleted" in runs("log", ids[0], "--metric", "loss=1", expect=1)
    assert [run["info"]["lifecycle_stage"] for run in json_lines(runs("restore", *ids, "--json"))] == ["active"] * 2


def test_metrics_are_csv_and_json(runs, client, run_id):
    for step in range(5):
        client.log_metric(run_id, "loss", [0.5, math.nan, math.inf, -math.inf, 0.1][step], step=step, timestamp=1_000)
    client.log_metric(run_id, "acc", 1.0, timestamp=2_000)
    client.flush()
    found = list(csv.DictReader(io.StringIO(runs("metrics", run_id))))
    assert [row["key"] for row in found] == ["acc", *["loss"] * 5]
    assert [row["value"] for row in found[1:]] == ["0.5", "NaN", "Infinity", "-Infinity", "0.1"]
    assert (found[0]["timestamp"], found[0]["model_id"]) == ("2000", "")
    points = json_lines(runs("metrics", run_id, "loss", "--json"))
    assert [(point["step"], point["value"]) for point in points[:2]] == [(0, 0.5), (1, "NaN")]
    (bucket,) = json_lines(runs("metrics", run_id, "loss", "--chart", "1", "--min-step", "4", "--json"))
    assert (bucket["key"], bucket["first_step"], bucket["last"]) == ("loss", 4, 0.1)
    (row,) = csv.DictReader(io.StringIO(runs("metrics", run_id, "acc", "--chart", "10")))
    assert (row["count"], row["min"]) == ("1", "1.0")
    assert "it has acc, loss" in runs("metrics", run_id, "never", expect=1)
    assert "go with --chart" in runs("metrics", run_id, "--max-step", "4", expect=2)


def test_a_long_history_is_read_page_by_page(runs, client, run_id, monkeypatch):
    monkeypatch.setattr("holdfast.cli.runs.metrics._PAGE", 10)
    for step in range(25):
        client.log_metric(run_id, "loss", step, step=step)
    client.flush()
    assert [point["step"] for point in json_lines(runs("metrics", run_id, "--json"))] == list(range(25))


def test_tables_of_runs_fit_the_terminal_and_obey_nothing(server, client, three, experiment_id):
    three[0].set_tag("team", "文字\x1b]0;title\x07" * 30)
    lines = in_terminal(
        ["--uri", server.uri, "runs", "ls", "-e", experiment_id, "--columns", "id,name,tags,metrics"], 100
    )
    assert len(lines) == 4
    assert all(len(line) + sum(letter in "文字" for letter in line) <= 100 for line in lines)
    assert not any("\x07" in line or "\x1b]" in line for line in lines)
    assert sum("\\x1b]0;title\\x07" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (160, ["RUN ID", "EXPERIMENT", "STATUS", "STARTED", "NAME", "METRICS"]),
        (80, ["RUN ID", "EXP", "STATUS", "STARTED", "NAME", "METRICS"]),
        (55, ["RUN ID", "EXP", "STATUS", "STARTED", "NAME"]),
        (40, ["RUN ID", "EXP", "STATUS"]),
    ],
)
def test_rows_of_runs_fit_narrow_terminals_without_cut_ids_and_dates(server, three, columns, titles):
    three[0].rename("a name that is far too long for the column that it is in")
    command = ["--uri", server.uri, "runs", "ls", "--filter", f"attributes.run_id = '{three[0].info.run_id}'"]
    head, row, *rest = in_terminal(command, columns)
    assert [title.strip() for title in head.split("  ") if title] == titles
    assert max(len(head), len(row)) <= columns
    run = three[0].info
    assert row.split()[0] == (run.run_id if columns == 160 else run.run_id[:10])
    if columns >= 55:
        assert re.search(r"  \d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( |$)", row)
    left_out = ", ".join(["STARTED", "NAME", "METRICS"][len(titles) - 3 :])
    assert rest == ([f"There is no room here for {left_out}."] if left_out else [])
    found = in_process(server.uri, "runs", "show", "--json", row.split()[0])
    assert json_lines(found)[0]["info"]["run_id"] == run.run_id


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_ascii(encoding, server, client, experiment_id):
    run = client.create_run(experiment_id, run_name="文字")
    for step in range(8):
        run.log_metric("loss", step, step)
    client.flush()
    ascii_only = {"PYTHONIOENCODING": encoding}
    lines = in_terminal(["--uri", server.uri, "runs", "show", run.info.run_id], 100, ascii_only)
    assert "name        \\u6587\\u5b57" in lines
    assert lines[-1].endswith("_.-=+*#@")


def test_whoever_has_read_enough_ends_the_list_quietly(server, client, experiment_id):
    for _ in range(30):
        client.create_run(experiment_id, tags={"long": "x" * 8_000})
    command = [PROGRAM, "--uri", server.uri, "runs", "ls", "--all", "--json", "-e", experiment_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()) as process:
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(120) == 141


def test_ctrl_c_ends_a_list_quietly(server, client, experiment_id):
    for _ in range(30):
        client.create_run(experiment_id, tags={"long": "x" * 8_000})
    command = [PROGRAM, "--uri", server.uri, "runs", "ls", "--all", "--json", "-e", experiment_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()) as process:
        # It writes more than the pipe holds, so it still runs.
        assert process.stdout.read(1) == b"{"
        process.send_signal(signal.SIGINT)
        while os.read(process.stdout.fileno(), 65_536):
            pass
        assert process.stderr.read() == b""
        assert process.wait(120) == 130


def test_what_cannot_be_logged_is_an_error_and_waits_nowhere(journals):
    away = f"holdfast://127.0.0.1:{free_port()}"
    for command in (["log", "0" * 32, "--metric", "loss=1"], ["create"]):
        assert away.removeprefix("holdfast://") in in_process(away, "runs", *command, expect=1)
    assert in_process(away, "sync", "--dry-run") == "Nothing waits.\n"
