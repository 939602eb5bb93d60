"""Runs whose client vanishes are lost, and go on when it returns."""

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
from tests.server_process import clean_environment, running_server

from holdfast import _leases
from holdfast._client import Client
from holdfast_server.storage.sql.connection import connect

# Of runs that are to be lost, and of those that are not however long a busy machine lets them wait for a renewal.
SHORT, LONG = 1.2, 6.0

TRAINING = """
import sys, time
import holdfast

with holdfast.start_run() as run:
    print(run.info.run_id, flush=True)
    for line in sys.stdin:
        holdfast.log_metric("step", 1)
        print("logged", flush=True)
"""

FORKING = """
import os, signal, sys, time
import holdfast

run = holdfast.start_run()
holdfast.log_metric("before", 1)
time.sleep(1.5)  # the thread of leases is at work
child = os.fork()
if child == 0:
    with holdfast.start_run(nested=True) as own:
        print(own.info.run_id, flush=True)
        sys.stdin.readline()
    os._exit(0)
print(run.info.run_id, flush=True)
os.waitpid(child, 0)
holdfast.end_run()
"""


@contextlib.contextmanager
def client_of(data_dir: Path, lease: float) -> Iterator[Client]:
    """A client of a server with such leases."""
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir), "--run-lease", str(lease)]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        yield client


@pytest.fixture
def short_client(tmp_path: Path) -> Iterator[Client]:
    with client_of(tmp_path / "data", SHORT) as client:
        yield client


@pytest.fixture
def long_client(tmp_path: Path) -> Iterator[Client]:
    with client_of(tmp_path / "data", LONG) as client:
        yield client


class Leases:
    """The leases of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "holdfast.db"

    def _read(self, column: str, run_id: str) -> int:
        """A time of a run's lease; 0: there is none."""
        with contextlib.closing(connect(self._path)) as database:
            statement = f"SELECT {column} FROM run_leases JOIN runs USING (run_no) WHERE run_id = ?"
            row = database.execute(statement, (run_id,)).fetchone()
        return (row[column] or 0) if row else 0

    def wait_for(self, run_id: str) -> int:
        """When the lease of a run ends, once it has one."""
        while not (found := self._read("expire_time", run_id)):
            time.sleep(0.02)
        return found

    def outlive(self, run_id: str, end: int) -> None:
        """Wait until a lease was renewed at a time at which it would have run out without that."""
        while self._read("renew_time", run_id) < end:
            time.sleep(0.02)


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path / "data")


def training(uri: str, program: str = TRAINING) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=clean_environment({"HOLDFAST_URI": uri}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_run_is_lost_when_its_client_is_killed_and_not_while_it_lives(long_client, leases):
    client = long_client
    with training(client.tracking_uri) as process:
        run_id = process.stdout.readline().strip()
        with client.watch_run(run_id) as watch:
            next(watch)
            leases.outlive(run_id, leases.wait_for(run_id))
            assert not client.get_run(run_id).info.lost
            process.kill()
            process.wait()
            assert next(event.type for event in watch) == "LOST"
        info = client.get_run(run_id).info
        assert (info.status, info.lost, info.shown_status) == ("RUNNING", True, "LOST")
        assert [run.info.run_id for run in client.search_runs(["0"], "attributes.lost = 'true'")] == [run_id]
        assert client.search_runs(["0"], "attributes.lost = 'false'") == []


def test_a_stopped_client_is_lost_and_goes_on_when_it_continues(short_client):
    client = short_client
    with training(client.tracking_uri) as process:
        run_id = process.stdout.readline().strip()
        with client.watch_run(run_id, types=["LOST", "RETURNED"]) as watch:
            next(watch)
            os.kill(process.pid, signal.SIGSTOP)
            assert next(watch).type == "LOST"
            os.kill(process.pid, signal.SIGCONT)
            assert next(watch).type == "RETURNED"
        process.stdin.write("go on\n")
        process.stdin.close()
        process.wait(60)
    assert client.get_run(run_id).info.shown_status == "FINISHED"
    assert client.get_run(run_id).data.metrics == {"step": 1.0}


def test_a_run_that_is_gone_on_with_takes_a_lease(short_client, leases):
    client = short_client
    run_id = client.create_run("0").info.run_id
    program = TRAINING.replace("start_run()", f"start_run(run_id={run_id!r})")
    with training(client.tracking_uri, program) as process:
        assert process.stdout.readline().strip() == run_id
        with client.watch_run(run_id) as watch:
            next(watch)
            leases.wait_for(run_id)  # it is taken in the background
            process.kill()
            assert next(event.type for event in watch) == "LOST"


def test_runs_that_a_client_merely_created_are_never_lost(short_client):
    run_id = short_client.create_run("0").info.run_id
    other = short_client.create_run("0", start_time=1, take_lease=True).info.run_id
    with short_client.watch_run(other) as watch:
        next(watch)
        assert next(watch).type == "LOST"
    assert not short_client.get_run(run_id).info.lost
    assert not short_client.create_run("0", start_time=1, run_id=other, take_lease=True).info.lost


def test_a_forked_process_keeps_its_own_runs_and_not_its_parents(long_client, leases):
    client = long_client
    with training(client.tracking_uri, FORKING) as process:
        ids = {process.stdout.readline().strip() for _ in range(2)}
        parents = {run_id: client.get_run(run_id).data.tags.get("mlflow.parentRunId") for run_id in ids}
        (child_run,) = (run_id for run_id, parent in parents.items() if parent)
        (parent_run,) = ids - {child_run}
        with client.watch_run(parent_run, types=["LOST"]) as watch:
            next(watch)
            process.kill()
            assert next(watch).type == "LOST"
        leases.outlive(child_run, leases.wait_for(child_run))
        assert not client.get_run(child_run).info.lost
        process.stdin.write("end\n")
        process.stdin.close()
        with client.watch_run(child_run) as watch:
            state = next(watch)
            if state.state.info.status == "RUNNING":
                assert next(watch).changes[0].new_value == "FINISHED"


def test_one_thread_renews_for_all_runs_and_ends(long_client, leases, monkeypatch):
    monkeypatch.setattr(_leases, "LINGER", 0.05)
    keeper = _leases.LeaseThread()
    run_ids = [long_client.create_run("0", take_lease=True).info.run_id for _ in range(5)]
    for run_id in run_ids:
        keeper.hold(run_id, long_client.channel, taken=False)
    threads = [thread for thread in threading.enumerate() if thread.name == "holdfast-leases"]
    ends = {run_id: leases.wait_for(run_id) for run_id in run_ids}
    for run_id, end in ends.items():
        leases.outlive(run_id, end)
    assert not any(long_client.get_run(run_id).info.lost for run_id in run_ids)
    for run_id in run_ids:
        keeper.drop(run_id)
    for thread in threads:
        if thread is keeper._thread:
            thread.join(60)
            assert not thread.is_alive()
    assert keeper._thread is None


def test_a_killed_client_of_an_embedded_server_is_seen_by_the_next(tmp_path):
    data_dir = tmp_path / "store"
    data_dir.mkdir()
    with training(str(data_dir)) as process:
        run_id = process.stdout.readline().strip()
        process.kill()
    # The server notices within a second that nobody is left, and ends.
    address = data_dir / "server.address"
    deadline = time.monotonic() + 120
    while address.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with Client(str(data_dir)) as client:
        assert client.get_run(run_id).info.lost
