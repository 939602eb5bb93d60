"""The embedded server: started by the first client, shared, and gone after the last."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.embedded_servers import server_pid, wait_until
from tests.server_process import clean_environment

from holdfast import _embedded
from holdfast._client import Client
from holdfast._embedded import ADDRESS_FILE, attach, remove_stale_directories
from holdfast._leases import RETRY_INTERVAL, LeaseThread

LOG = """
import sys, holdfast
client = holdfast.Client(sys.argv[1])
client.log_text(sys.argv[2], sys.argv[3], sys.argv[3] + ".txt")
print("logged", flush=True)
sys.stdin.read()
"""

CREATE = """
import sys, holdfast
client = holdfast.Client(sys.argv[1])
print(client.create_run("0").info.run_id, flush=True)
sys.stdin.read()
"""


def start_logger(data_dir: Path, run_id: str, word: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOG, str(data_dir), run_id, word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("")


def test_clients_share_a_server_and_survive_each_others_exit(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = subprocess.Popen(
        [sys.executable, "-c", CREATE, str(data_dir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert first.stdout is not None
    run_id = first.stdout.readline().strip()
    pid = server_pid(data_dir)
    assert pid is not None
    second = start_logger(data_dir, run_id, "second")
    end(first)  # it started the server, and the server stays
    third = start_logger(data_dir, run_id, "third")
    end(second)
    assert server_pid(data_dir) == pid
    end(third)
    wait_until(lambda: server_pid(data_dir) is None)
    assert not (data_dir / ADDRESS_FILE).exists()
    assert list(data_dir.glob("*.sock")) == []
    with_fourth = start_logger(data_dir, run_id, "fourth")
    end(with_fourth)
    wait_until(lambda: server_pid(data_dir) is None)


def test_a_client_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CREATE, str(tmp_path / "data")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    assert server_pid(tmp_path / "data") is not None
    process.kill()
    process.communicate()
    wait_until(lambda: server_pid(tmp_path / "data") is None)


def test_a_killed_server_is_started_again_by_the_next_call(tmp_path: Path) -> None:
    with Client(str(tmp_path / "data")) as client:
        run_id = client.create_run("0").info.run_id
        client.log_text(run_id, "one", "one.txt")
        pid = server_pid(tmp_path / "data")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server_pid(tmp_path / "data") is None)
        client.log_text(run_id, "two", "two.txt")
        assert [file.path for file in client.list_artifacts(run_id)] == ["one.txt", "two.txt"]


def test_leases_are_renewed_by_a_server_that_was_started_again(tmp_path: Path) -> None:
    with Client(str(tmp_path / "data")) as client:
        run = client.create_run("0", take_lease=True)
        pid = server_pid(tmp_path / "data")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server_pid(tmp_path / "data") is None)
        assert LeaseThread._renew(client.channel, [run.info.run_id]) > RETRY_INTERVAL


def test_many_clients_at_once_start_one_server(tmp_path: Path) -> None:
    script = (
        "import sys, holdfast; c = holdfast.Client(sys.argv[1]); c.create_run('0'); print(c.search_runs(['0']) != [])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
        )
        for _ in range(6)
    ]  # fmt: skip
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "True\n"), err
    with Client(str(tmp_path / "data")) as client:
        assert len(client.search_runs(["0"])) == 6


def test_a_long_data_directory_gets_a_short_socket_path(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long-" * 20)
    with Client(str(data_dir)) as client:
        client.create_run("0")
        address = attach(data_dir)
        assert len(address) < 107
        directory = Path(address.removeprefix("unix:")).parent
        assert directory.is_dir()
    wait_until(lambda: not directory.exists())  # the server was the last there


@pytest.fixture
def left_by_a_killed_server(tmp_path: Path) -> Iterator[tuple[Client, Path]]:
    """A client whose server was killed, and the directory of that one's socket, which will soon count as stale."""
    data_dir = tmp_path / ("long-" * 20)
    with Client(str(data_dir)) as client:
        client.create_run("0")
        directory = Path(attach(data_dir).removeprefix("unix:")).parent
        pid = server_pid(data_dir)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server_pid(data_dir) is None)
        os.utime(directory, times=(time.time() - 1.5 * _embedded.START_SECONDS,) * 2)
        yield client, directory


def test_what_a_killed_server_left_is_not_removed_under_the_next_one(
    left_by_a_killed_server: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, directory = left_by_a_killed_server
    spawn = subprocess.Popen
    kept: list[bool] = []

    def spawn_after_another_client_looked(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        with monkeypatch.context() as later:
            later.setattr(_embedded, "START_SECONDS", _embedded.START_SECONDS / 2)  # for this one it is stale by now
            remove_stale_directories(directory.parent, directory.name[:-12])
        kept.append(directory.is_dir())
        return spawn(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", spawn_after_another_client_looked)
    client.create_run("0")
    assert kept == [True]


def test_a_server_whose_directory_was_removed_is_started_again(
    left_by_a_killed_server: tuple[Client, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, directory = left_by_a_killed_server
    spawn = subprocess.Popen
    starts: list[int] = []

    def spawn_without_directory(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        if not starts:
            shutil.rmtree(directory)
        starts.append(1)
        return spawn(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", spawn_without_directory)
    client.create_run("0")
    assert len(starts) == 2


def test_directories_of_sockets_of_killed_servers_are_removed(tmp_path: Path) -> None:
    def directory(digit: str, *, listening: bool, age: float) -> Path:
        path = tmp_path / f"holdfast-0-{digit * 12}"
        path.mkdir()
        server = socket.socket(socket.AF_UNIX)
        server.bind(f"{path}/x.sock")
        if listening:
            server.listen(1)
            opened.callback(server.close)
        else:
            server.close()
        os.utime(path, times=(time.time() - age,) * 2)
        return path

    with contextlib.ExitStack() as opened:
        dead = directory("a", listening=False, age=1e4)
        starting = directory("b", listening=False, age=0)
        alive = directory("c", listening=True, age=1e4)
        busy = directory("d", listening=True, age=1e4)
        with contextlib.suppress(BlockingIOError):
            while True:  # until nobody more can wait for it
                waiting = opened.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(f"{busy}/x.sock")
        (tmp_path / "holdfast-0-of-somebody-else").mkdir()
        remove_stale_directories(tmp_path, "holdfast-0-")
        assert [path.exists() for path in (dead, starting, alive, busy)] == [False, True, True, True]
        assert len(list(tmp_path.iterdir())) == 4


def test_the_data_directory_is_private(tmp_path: Path) -> None:
    with Client(str(tmp_path / "data")) as client:
        client.create_run("0")
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_closed_client_lets_the_server_go(tmp_path: Path) -> None:
    with Client(str(tmp_path / "data")) as client:
        client.create_run("0")
    wait_until(lambda: server_pid(tmp_path / "data") is None)


def test_ctrl_c_does_not_reach_the_server(tmp_path: Path) -> None:
    with Client(str(tmp_path / "data")) as client:
        client.create_run("0")
        pid = server_pid(tmp_path / "data")
        assert pid is not None
        assert os.getsid(pid) != os.getsid(0)


@pytest.mark.parametrize("missing", ["holdfast_server", "sqlite_utils"])
def test_without_the_server_extra_the_error_names_both_remedies(tmp_path: Path, missing: str) -> None:
    script = (
        "import sys, importlib.util as u, holdfast\n"
        "find = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name == {missing!r} else find(name, *a)\n"
        "try: holdfast.Client(sys.argv[1]).create_run('0')\n"
        "except holdfast.errors.UnavailableError as e: print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        capture_output=True, text=True, env=clean_environment(), check=False,
    )  # fmt: skip
    assert "pip install 'holdfast[server]'" in done.stdout, done.stderr
    assert "HOLDFAST_URI" in done.stdout
