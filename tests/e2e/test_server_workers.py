"""`holdfast server --workers N`: several processes on one port and one data directory, killed and stopped for real."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.rpc.metrics_page import Metrics, fetch
from tests.server_process import ServerProcess, run_server, running_server

from holdfast._client import Client

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

PATIENCE = 60.0


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--workers=2", "--host=127.0.0.1", "--port=0", f"--data-dir={folder / 'data'}", *more]


def workers_of(server: ServerProcess) -> dict[int, int]:
    """The processes of the workers by their numbers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    found = {}
    for child in map(int, children):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"holdfast_server.workers" in command:
                found[int(command[command.index(b"holdfast_server.workers") + 1])] = child
    return found


def until(is_so, what: str) -> None:
    """Look until something is so that another process brings about."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextlib.contextmanager
def all_end(server: ServerProcess) -> Iterator[None]:
    """After this block none of the processes that served before it is left."""
    handles = [os.pidfd_open(pid) for pid in workers_of(server).values()]
    try:
        assert handles
        yield
        for handle in handles:
            until(lambda handle=handle: _has_ended(handle), "a worker is left")
    finally:
        for handle in handles:
            os.close(handle)


def _has_ended(handle: int) -> bool:
    try:
        signal.pidfd_send_signal(handle, 0)
    except ProcessLookupError:
        return True
    return False


def metrics_ports(server: ServerProcess) -> list[int]:
    return [int(port) for port in re.findall(r":(\d+)/metrics", server.line("Metrics of each worker on "))]


def calls_served(port: int) -> float:
    """How many runs a worker made."""
    status, _, text = fetch(port, "/metrics")
    assert status == 200
    return sum(
        sample.value
        for family in Metrics(text).families
        for sample in family.samples
        if sample.name == "holdfast_rpc_duration_seconds_count" and "/CreateRun" in sample.labels["method"]
    )


class Acknowledged:
    """Clients that log to runs of their own, each noting what it was told is kept."""

    def __init__(self, uri: str, count: int) -> None:
        self.uri, self.count = uri, count
        self.enough, self._stop = threading.Event(), threading.Event()
        self.runs: dict[str, tuple[int, dict[str, bytes]]] = {}
        self._rounds = 0

    def work(self, number: int) -> None:
        with Client(self.uri) as client:
            run_id = client.create_run("0").info.run_id
            points, files = 0, {}
            while not self._stop.is_set() or points < 40:
                for _ in range(20):
                    client.log_metric(run_id, "m", float(points), step=points)
                    points += 1
                data = hashlib.sha256(b"%d %d" % (number, points)).digest() * (4_000 if points % 40 else 40_000)
                path = f"f{points}"
                client.log_bytes(run_id, data, path)
                client.flush()
                files[path] = data
                self._rounds += 1
                if self._rounds >= 3 * self.count:
                    self.enough.set()
            self.runs[run_id] = (points, files)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        with ThreadPoolExecutor(self.count) as pool:
            futures = [pool.submit(self.work, number) for number in range(self.count)]
            try:
                assert self.enough.wait(PATIENCE), [future.exception(0) for future in futures if future.done()]
                yield
            finally:
                self._stop.set()
            for future in futures:
                future.result(PATIENCE)

    def check(self, client: Client, scratch: Path) -> None:
        """All of it is there, and none of it twice."""
        for run_id, (points, files) in self.runs.items():
            assert [m.step for m in client.get_metric_history(run_id, "m")] == list(range(points))
            found = Path(client.download_artifacts(run_id, "", str(scratch / run_id)))
            assert {file.name: file.read_bytes() for file in found.iterdir()} == files


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_a_worker_is_killed_under_many_clients(tmp_path):
    with running_server(*arguments(tmp_path, "--metrics-address=127.0.0.1:0")) as server:
        assert ", 2 workers" in server.lines[0]
        clients = Acknowledged(f"holdfast://{server.address}", 8)
        first = workers_of(server)
        assert sorted(first) == [1, 2]
        with clients.working():
            os.kill(first[2], signal.SIGKILL)
            until(lambda: workers_of(server).get(2) not in {first[2], None}, "the worker was not replaced")
            until(lambda: any("worker 2 serves again" in line for line in server.lines), "the new one does not serve")
        with Client(clients.uri) as client:
            clients.check(client, tmp_path / "several")
        # Who was cut off came back to either; new connections come to both.
        served = metrics_ports(server)[0]
        assert calls_served(served) > 0
        assert any("worker 2" in line and "ended by SIGKILL" in line for line in server.lines)
        with all_end(server):
            assert server.stop() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "holdfast.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # What the killed one left behind is no hindrance, and one process alone serves the same.
    with (
        running_server("--port=0", f"--data-dir={tmp_path / 'data'}") as alone,
        Client(f"holdfast://{alone.address}") as client,
    ):
        clients.check(client, tmp_path / "alone")


def test_connections_are_spread_over_all_workers(tmp_path):
    with running_server(*arguments(tmp_path, "--metrics-address=127.0.0.1:0")) as server:
        ports = metrics_ports(server)
        assert len(set(ports)) == 2

        def log() -> bool:
            with Client(f"holdfast://{server.address}") as client:
                client.create_run("0")
                return all(calls_served(port) > 0 for port in ports)

        # The kernel chooses by the client's port: that 64 of them all fall to one has the odds of 2 ** -63.
        assert any(log() for _ in range(64))
        assert all(fetch(port, "/readyz")[0] == 200 for port in ports)
        with all_end(server):
            assert server.stop() == 0


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    with running_server(*arguments(tmp_path)) as server, all_end(server):
        server.process.kill()
        server.process.wait()


@pytest.mark.slow
def test_one_worker_has_the_unix_sockets_and_keeps_them_when_another_is_replaced(tmp_path):
    socket = tmp_path / "s"
    with running_server(*arguments(tmp_path, f"--unix={socket}", "--auth=tokens")) as server:
        owner = f"unix:{tmp_path / 'data' / 'holdfast.sock'}"

        def both_answer() -> None:
            for uri in (f"unix:{socket}", owner):
                with Client(uri) as client:
                    assert client.get_experiment("0").name == "Default"

        both_answer()
        os.kill(workers_of(server)[2], signal.SIGKILL)
        until(lambda: any("worker 2 serves again" in line for line in server.lines), "the new one does not serve")
        both_answer()
        os.kill(workers_of(server)[1], signal.SIGKILL)
        until(lambda: any("worker 1 serves again" in line for line in server.lines), "the new one does not serve")
        both_answer()
        assert server.stop() == 0
    assert not socket.exists()


@pytest.mark.slow
def test_a_port_is_shared_with_no_other_server(tmp_path):
    with running_server(*arguments(tmp_path)) as server:
        port = server.address.rpartition(":")[2]
        for more in (["--workers=2"], []):
            other = run_server(f"--port={port}", f"--data-dir={tmp_path / 'other'}", *more)
            assert (other.returncode, "is in use" in other.stderr) == (2, True), other.stderr
        assert server.stop() == 0
    with running_server(*arguments(tmp_path, f"--port={port}")) as again:
        assert again.address.endswith(f":{port}")
    with running_server("--port=0", f"--data-dir={tmp_path / 'one'}") as one:
        shared = run_server(*arguments(tmp_path, f"--port={one.address.rpartition(':')[2]}"))
        assert (shared.returncode, "is in use" in shared.stderr) == (2, True), shared.stderr


@pytest.mark.slow
def test_a_failed_start_is_told_once_with_the_code_of_a_single_server(tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "holdfast.db").write_bytes(b"no database" * 1000)
    single = run_server("--port=0", f"--data-dir={tmp_path / 'data'}")
    several: subprocess.CompletedProcess[str] = run_server(*arguments(tmp_path))
    assert single.returncode != 0
    assert (several.returncode, several.stderr.splitlines()[-1]) == (
        single.returncode,
        single.stderr.splitlines()[-1],
    )


@pytest.mark.slow
def test_sigterm_while_the_workers_start_ends_them(tmp_path):
    with running_server(*arguments(tmp_path)) as server, all_end(server):
        os.kill(workers_of(server)[2], signal.SIGKILL)
        until(lambda: any("another is started" in line for line in server.lines), "the death was not noticed")
        assert server.stop() == 0
