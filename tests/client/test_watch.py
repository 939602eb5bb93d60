"""Watches of the client: what they tell, over restarts of the server and from one server process to another."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.server_process import ServerProcess, clean_environment, running_server

import holdfast
from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.entities import Event, Experiment, RegisteredModel, Run
from holdfast.errors import InvalidArgumentError, NotFoundError, OutOfRangeError, UnavailableError
from holdfast_server.storage.sql.connection import connect

QUICK = RetryPolicy(window=120, first_window=60, initial_delay=0.02, max_delay=0.1)


@contextlib.contextmanager
def server_on(data_dir: Path, port: int = 0) -> Iterator[ServerProcess]:
    with running_server("--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data_dir)) as server:
        yield server


def fields(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.changes[0].field, event.changes[0].new_value) for event in events]


def test_a_run_is_told_as_it_is_and_then_as_it_changes(client, run_id):
    client.log_param(run_id, "lr", 0.1)
    with client.watch_run(run_id) as watch:
        state = next(watch)
        assert (state.type, state.subject, state.run_id) == ("STATE", "RUN", run_id)
        assert isinstance(state.state, Run)
        assert state.state.data.params == {"lr": "0.1"}
        assert state.state.client is client
        client.log_metrics(run_id, {"loss": 0.5, "accuracy": 0.9}, step=3)
        client.set_terminated(run_id)
        logged, ended = next(watch), next(watch)
        assert {(m.key, m.value, m.step, m.point_count) for m in logged.metrics} == {
            ("loss", 0.5, 3, 1),
            ("accuracy", 0.9, 3, 1),
        }
        assert ended.changes[0].old_value == "RUNNING"
        assert fields([ended]) == [("status", "FINISHED")]
        assert watch.cursor == ended.cursor
        assert ended.timestamp >= logged.timestamp > 1_600_000_000_000
    assert next(watch, None) is None


def test_a_watch_goes_on_where_another_one_was(client, run_id):
    with client.watch_run(run_id) as watch:
        next(watch)
        client.set_tag(run_id, "a", 1)
        client.set_tag(run_id, "b", 1)
        assert fields([next(watch)]) == [("tags.a", "1")]
        cursor = watch.cursor
    with client.watch_run(run_id, cursor) as watch:
        assert fields([next(watch)]) == [("tags.b", "1")]


def test_an_experiment_is_watched_without_its_metrics(client, experiment_id):
    with client.watch_experiment(experiment_id, types=["CREATED", "UPDATED"]) as watch:
        assert isinstance(next(watch).state, Experiment)
        run = client.create_run(experiment_id)
        run.log_metric("loss", 1)
        run.set_tag("t", 1)
        created, tagged = next(watch), next(watch)
    assert (created.type, created.run_id) == ("CREATED", run.info.run_id)
    assert fields([tagged]) == [("tags.t", "1")]


def test_a_promotion_is_watched_and_ends_with_the_model(client, run_id, name):
    client.log_text(run_id, "x", "model/MLmodel")
    client.create_registered_model(name)
    for _ in range(2):
        client.create_model_version(name, f"runs:/{run_id}/model")
    client.set_registered_model_alias(name, "prod", 1)
    with client.watch_model(name, alias="prod") as watch:
        state = next(watch).state
        assert isinstance(state, RegisteredModel)
        assert state.aliases == {"prod": "1"}
        client.set_registered_model_alias(name, "other", 1)
        client.set_registered_model_alias(name, "prod", 2)
        moved = next(watch)
        assert (moved.alias, moved.version, moved.changes[0].old_value) == ("prod", "2", "1")
        client.delete_registered_model(name)
        assert [(event.subject, event.type) for event in watch] == [("REGISTERED_MODEL", "DELETED")]
        cursor = watch.cursor
    assert list(client.watch_model(name, cursor=cursor)) == []


def test_the_fluent_functions_and_the_run_watch_the_same(fluent, name):
    experiment = holdfast.set_experiment(f"experiment-{name}")
    with holdfast.start_run() as run:
        fluent.create_registered_model(name)
        with (
            holdfast.watch_run(run.info.run_id) as by_id,
            run.watch() as by_run,
            holdfast.watch_experiment(experiment.experiment_id) as whole,
            holdfast.watch_model(name) as model,
        ):
            states = [next(watch).subject for watch in (by_id, by_run, whole, model)]
            assert states == ["RUN", "RUN", "EXPERIMENT", "REGISTERED_MODEL"]
            holdfast.set_tag("t", 1)
            assert [fields([next(watch)]) for watch in (by_id, by_run, whole)] == [[("tags.t", "1")]] * 3


def test_what_cannot_be_watched_is_said_at_once(client, run_id):
    with pytest.raises(NotFoundError):
        next(client.watch_run("0" * 32))
    with pytest.raises(InvalidArgumentError, match="not one of this watch"):
        next(client.watch_run(run_id, "forged"))
    with pytest.raises(InvalidArgumentError, match="CREATED, UPDATED"):
        client.watch_run(run_id, types="SOMETHING")


def test_a_run_that_is_too_large_for_one_message_is_told_whole(client, run_id):
    tags = {f"t{number}": "v" * 8_000 for number in range(500)}
    client.set_tags(run_id, tags)
    with client.watch_run(run_id) as watch:
        state = next(watch).state
    assert isinstance(state, Run)
    assert tags.items() <= state.data.tags.items()


def test_closing_a_watch_ends_it_in_another_thread(client, run_id):
    watch = client.watch_run(run_id)
    next(watch)
    seen: list[Event | None] = []
    thread = threading.Thread(target=lambda: seen.append(next(watch, None)))
    thread.start()
    watch.close()
    thread.join(120)
    assert seen == [None]


def with_versions(client: Client, count: int) -> None:
    """A registered model m that has so many versions."""
    run_id = client.create_run("0").info.run_id
    client.log_text(run_id, "x", "model/MLmodel")
    client.create_registered_model("m")
    for _ in range(count):
        client.create_model_version("m", f"runs:/{run_id}/model")


def test_each_change_through_another_process_is_told(tmp_path):
    with (
        server_on(tmp_path) as first,
        server_on(tmp_path) as second,
        Client(f"holdfast://{first.address}") as watcher,
        Client(f"holdfast://{second.address}") as changer,
    ):
        with_versions(changer, 1)
        with watcher.watch_model("m", alias="prod") as watch:
            next(watch)
            for _ in range(5):
                changer.set_registered_model_alias("m", "prod", 1)
                assert next(watch).version == "1"
                changer.delete_registered_model_alias("m", "prod")
                assert next(watch).version is None


WATCHED = {
    "a run": (
        lambda client: client.watch_run(client.search_runs(["0"])[0].info.run_id),
        lambda client, number: client.set_tag(client.search_runs(["0"])[0].info.run_id, f"t{number}", 1),
        lambda event: (event.changes[0].field, event.changes[0].new_value),
        lambda number: (f"tags.t{number}", "1"),
    ),
    "an alias": (
        lambda client: client.watch_model("m", alias="prod"),
        lambda client, number: client.set_registered_model_alias("m", "prod", number % 2 + 1),
        lambda event: (event.alias, event.version),
        lambda number: ("prod", str(number % 2 + 1)),
    ),
}


@pytest.mark.parametrize("what", WATCHED)
def test_a_watch_goes_on_over_restarts_of_its_server_and_misses_nothing(tmp_path, what):
    begin, change, told, expectation = WATCHED[what]
    port = free_port()
    with server_on(tmp_path) as other, Client(f"holdfast://{other.address}") as changer:
        with_versions(changer, 2)
        with Client(f"holdfast://127.0.0.1:{port}", retry=QUICK) as client:
            expected, number = [], 0

            def go_on() -> None:
                nonlocal number
                change(changer, number)
                expected.append(expectation(number))
                number += 1

            for restart in range(3):
                with server_on(tmp_path, port) as server:
                    if restart == 0:
                        watch = begin(client)
                        next(watch)
                    for _ in range(3):
                        go_on()
                        changer.set_registered_model_alias("m", "other", 1)  # which no watch here is to tell
                    assert told(next(watch)) == expected.pop(0)
                    server.process.send_signal(signal.SIGKILL if restart else signal.SIGTERM)
                    server.process.wait(120)
                # While the server is away; what came before it went may have been taken or not.
                go_on()
            with server_on(tmp_path, port):
                assert [told(next(watch)) for _ in expected] == expected
                watch.close()


def watch_until_refused(client: Client, run_id: str, cursor: str) -> None:
    for _ in range(1_000):
        time.sleep(0.01)
        with client.watch_run(run_id, cursor) as watch:
            next(watch)


def test_a_watch_that_was_away_too_long_says_so(tmp_path):
    port = free_port()
    with Client(f"holdfast://127.0.0.1:{port}", retry=QUICK) as client:
        with server_on(tmp_path, port):
            run_id = client.create_run("0").info.run_id
            client.set_tag(run_id, "a", 1)
            watch = client.watch_run(run_id)
            cursor = next(watch).cursor
            client.set_tag(run_id, "b", 1)
            client.set_tag(run_id, "c", 1)
            watch.close()
        connection = connect(tmp_path / "holdfast.db")
        connection.execute("UPDATE events SET time = 0")
        connection.close()
        with server_on(tmp_path, port):
            # The server forgets old events in the background after its start.
            with pytest.raises(OutOfRangeError, match="watch it anew") as caught:
                watch_until_refused(client, run_id, cursor)
            assert caught.value.reason == "CURSOR_EXPIRED"
            with client.watch_run(run_id) as anew:
                assert {"a", "b", "c"} <= next(anew).state.data.tags.keys()


def test_a_server_that_stays_away_is_given_up_when_asked(tmp_path):
    retry = RetryPolicy(window=0.3, first_window=0.3, initial_delay=0.02, max_delay=0.1)
    with server_on(tmp_path) as server, Client(f"holdfast://{server.address}", retry=retry) as client:
        watch = client.watch_run(client.create_run("0").info.run_id, retry_for=0.3)
        next(watch)
        server.stop()
        with pytest.raises(UnavailableError):
            next(watch)


def test_nobody_at_the_address_is_said_soon():
    retry = RetryPolicy(window=0.3, first_window=0.3)
    with Client(f"holdfast://127.0.0.1:{free_port()}", retry=retry) as client, pytest.raises(UnavailableError):
        next(client.watch_run("0" * 32))


WAITING = """
import sys
from holdfast._client import Client

client = Client(sys.argv[1])
watch = client.watch_run(sys.argv[2])
next(watch)
try:
    print("watching", flush=True)
    next(watch)
except KeyboardInterrupt:
    watch.close()
    print(client.get_run(sys.argv[2]).info.run_id, flush=True)
"""


def test_ctrl_c_ends_the_waiting_and_the_connection_stays_good(server, run_id):
    command = [sys.executable, "-c", WAITING, server.uri, run_id]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "watching\n"
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.read() == f"{run_id}\n"
        assert process.wait(120) == 0
