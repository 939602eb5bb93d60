"""``holdfast runs tail``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.client.cli_runs import json_lines
from tests.client.test_watch import server_on
from tests.ports import free_port
from tests.server_process import clean_environment

from holdfast._client import Client

HOLDFAST = str(Path(sys.executable).parent / "holdfast")
# A time, or its room where it is not known.
TIME = rf"(?:\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d|-{' ' * 18})"


def tailing(uri: str, *args: str, of: str = "runs") -> subprocess.Popen[str]:
    command = [HOLDFAST, "--uri", uri, of, "tail", *args]
    return subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def without_time(text: str) -> list[str]:
    return [re.sub(rf"^{TIME}  ", "", line) for line in text.splitlines()]


def test_a_run_is_followed_until_it_ends(server, client, experiment_id):
    run = client.create_run(experiment_id, run_name="first", tags={"team": "blue"})
    run.log_param("lr", 0.1)
    with tailing(server.uri, run.info.run_id) as process:
        head = [process.stdout.readline() for _ in range(4)]
        assert without_time("".join(head)) == [
            "status     RUNNING",
            "name       first",
            "param      lr = 0.1",
            "tag        team = blue",
        ]
        run.log_metric("loss", 0.25, step=7)
        client.flush()
        run.log_params({"layers": 3})
        run.set_tag("note", "two\nlines")
        run.delete_tag("note")
        run.rename("second")
        run.log_text("x", "a.txt")
        run.end("FAILED")
        assert without_time(process.stdout.read()) == [
            "metric     loss = 0.25 (step 7)",
            "param      layers = 3",
            "tag        note = two lines",
            "tag        note removed",
            "name       second",
            "artifacts  snapshot 1",
            "status     FAILED",
        ]
        assert process.wait(120) == 0


def test_a_run_that_has_ended_is_printed_and_that_is_all(server, client, run_id):
    client.set_terminated(run_id)
    with tailing(server.uri, run_id) as process:
        assert without_time(process.stdout.read())[0] == "status     FINISHED"
        assert process.wait(120) == 0


def test_what_was_logged_before_is_printed_with_the_times_that_it_has(server, client, experiment_id):
    run = client.create_run(experiment_id, start_time=1_000, run_name="first")
    run.log_param("lr", 0.1)
    client.log_metric(run.info.run_id, "loss", 0.5, 61_000, 7, synchronous=True)
    client.set_terminated(run.info.run_id, end_time=122_000)
    with tailing(server.uri, run.info.run_id) as process:
        assert process.stdout.read().splitlines() == [
            "1970-01-01 00:02:02  status     FINISHED",
            "-                    name       first",
            "-                    param      lr = 0.1",
            "1970-01-01 00:01:01  metric     loss = 0.5 (step 7)",
        ]
        assert process.wait(120) == 0


def test_json_has_cursors_to_go_on_behind(server, client, run_id):
    with tailing(server.uri, "--json", run_id) as process:
        state = json.loads(process.stdout.readline())
        assert state["state"]["info"]["run_id"] == run_id
        client.log_metric(run_id, "loss", float("nan"), synchronous=True)
        client.set_tag(run_id, "t", 1)
        logged = json.loads(process.stdout.readline())
        assert logged["metrics"][0]["key"] == "loss"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    client.set_terminated(run_id)
    with tailing(server.uri, "--json", "--cursor", logged["cursor"], run_id) as process:
        events = [json.loads(line) for line in process.stdout]
        assert process.wait(120) == 0
    assert [event["changes"][0]["field"] for event in events] == ["tags.t", "status"]


def test_a_run_that_has_metrics_is_strict_json_too(server, client, run_id):
    client.log_metrics(run_id, {"accuracy": 0.5, "loss": float("nan")}, step=3, synchronous=True)
    client.set_terminated(run_id)
    with tailing(server.uri, "--json", run_id) as process:
        (state,) = json_lines(process.stdout.read())
        assert process.wait(120) == 0
    assert state["state"]["data"]["metrics"] == {"accuracy": 0.5, "loss": "NaN"}


def test_states_of_all_kinds_are_plain(client, experiment_id, run_id, name):
    client.log_metric(run_id, "loss", 1, synchronous=True)
    client.create_registered_model(name)
    for watch in (client.watch_run(run_id), client.watch_experiment(experiment_id), client.watch_model(name)):
        with watch:
            state = next(watch).to_dictionary()["state"]
        assert json.loads(json.dumps(state)) == state


def test_nothing_is_waited_for_behind_the_end_of_a_run(server, client, run_id):
    client.set_terminated(run_id)
    with client.watch_run(run_id) as watch:
        next(watch)
        cursor = watch.cursor
    client.set_tag(run_id, "later", 1)
    with tailing(server.uri, "--cursor", cursor, run_id) as process:
        assert without_time(process.stdout.read()) == ["tag        later = 1"]
        assert process.wait(120) == 0


def test_what_moves_a_terminal_is_printed_and_does_not(server, client, run_id):
    client.log_param(run_id, "title", "\x1b]0;owned\x07")
    client.set_terminated(run_id)
    with tailing(server.uri, run_id) as process:
        assert r"param      title = \x1b]0;owned\x07" in without_time(process.stdout.read())
        assert process.wait(120) == 0


def test_it_goes_on_over_a_restart_of_the_server(tmp_path):
    port = free_port()
    uri = f"holdfast://127.0.0.1:{port}"
    with server_on(tmp_path, port) as first, Client(uri) as client:
        run_id = client.create_run("0").info.run_id
        process = tailing(uri, run_id)
        assert "RUNNING" in process.stdout.readline()
        client.log_metric(run_id, "loss", 1)
        while "loss" not in process.stdout.readline():
            pass
        first.stop()
    with process, server_on(tmp_path, port), Client(uri) as client:
        client.log_metric(run_id, "loss", 2)
        assert "loss = 2" in process.stdout.readline()
        client.set_terminated(run_id)
        assert "FINISHED" in process.stdout.readline()
        assert process.wait(120) == 0


def test_a_run_that_is_not_there_is_an_error(server):
    with tailing(server.uri, "0" * 32) as process:
        assert process.wait(120) == 1
        assert "There is no run" in process.stderr.read()
