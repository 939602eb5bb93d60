"""The n-th sync, write or rename of the server fails: the call succeeds or says so, and the server goes on."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.backends import Backend
from tests.faults.journal import Journal, with_files
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.faults.workload import NO_RETRIES

from holdfast._client import Client
from holdfast.errors import UnavailableError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"),
]

# Not ``write``, by which the event loop wakes itself: files are never written by it.
CALLS = {
    "sync": "fsync,fdatasync",
    "write": "writev,pwritev,pwritev2",
    "write at": "pwrite64",  # SQLite's
    "rename": "rename,renameat,renameat2",
    "make directory": "mkdir,mkdirat",
}
# Far more calls of one kind than an upload makes.
LIMIT = 300
ERRORS = ("EIO", "ENOSPC")
KILLS_WITHIN = 3


@contextlib.contextmanager
def injecting(pid: int, calls: str, what: str, number: int, log: Path) -> Iterator[None]:
    """Let ``what`` happen to each thread's ``number``-th of ``calls``, from when strace has attached itself on."""
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}:when={number}"]
    process = subprocess.Popen(["strace", "-f", "-y", "-o", log, *inject, "-p", str(pid)], stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"attached" in process.stderr.readline()
    try:
        yield
    finally:
        process.terminate()  # it detaches
        process.wait(120)
        process.stderr.close()


def make_set(folder: Path, source: random.Random) -> dict[str, bytes]:
    """Small files that share a pack, and blocks of their own; written to a new folder."""
    files = {f"small-{i}": source.randbytes(9_000) for i in range(8)}
    files |= {f"large-{i}": source.randbytes(600_000) for i in range(2)}
    folder.mkdir()
    for path, data in files.items():
        (folder / path).write_bytes(data)
    return files


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", CALLS)
def test_a_failing_system_call_costs_an_error_and_nothing_else(
    *,
    kind: str,
    local_backend: Backend,
    journal: Journal,
    sizing: Sizing,
    scoreboard: Scoreboard,
    scratch: Path,
) -> None:
    source = sizing.random("system calls", kind)
    hits, refusals = 0, list[str]()
    with local_backend.server() as server, Client(local_backend.uri) as client:
        impatient = Client(local_backend.uri, retry=NO_RETRIES)
        run_id = client.create_run("0").info.run_id
        tree = f"runs:/{run_id}"
        # SQLite writes each page by calls of its own: too many to try them all each time.
        stride = 9 if kind == "write at" and sizing.factor < 2 else 1
        for number in range(1, LIMIT, stride):
            error = source.choice(ERRORS)
            folder, name = scratch / f"set-{number}", f"set-{number}"
            files = {f"{name}/{path}": data for path, data in make_set(folder, source).items()}
            journal.begin(tree, with_files(journal.state(tree), files), name)
            log = scratch / "trace"
            with injecting(server.process.pid, CALLS[kind], f"error={error}", number, log):
                try:
                    impatient.log_artifacts(run_id, folder, name)
                except UnavailableError as refused:
                    refusals.append(str(refused))
                else:
                    journal.acknowledge(tree)
            injected = log.read_text().count("(INJECTED)")
            # Without a restart the server reads what it has, and takes what it refused.
            journal.check(client, scratch, scoreboard)
            if name not in journal.state(tree):
                client.log_artifacts(run_id, folder, name)
                journal.begin(tree, with_files(journal.state(tree), files), name)
                journal.acknowledge(tree)
            shutil.rmtree(folder)
            if not injected:
                break
            hits += injected
            scoreboard.injected(f"system call: {kind} {error}", "local", injected)
        else:
            pytest.fail(f"after {LIMIT} uploads {kind} still failed")
        impatient.close()
        assert server.process.poll() is None
        journal.check(client, scratch, scoreboard)
    with local_backend.server(), Client(local_backend.uri) as client:
        journal.check(client, scratch, scoreboard)
    assert all(re.search(r"block store|database", text) for text in refusals), refusals
    assert hits
    assert refusals


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["sync", "write at"])
def test_a_kill_within_a_system_call_loses_nothing(
    *, kind: str, local_backend: Backend, journal: Journal, sizing: Sizing, scoreboard: Scoreboard, scratch: Path
) -> None:
    """Within SQLite's COMMIT, where no failpoint of ours can be."""
    source = sizing.random("kills within", kind)
    with local_backend.server(), Client(local_backend.uri) as client:
        run_id = client.create_run("0").info.run_id
    tree = f"runs:/{run_id}"
    for kill in range(sizing.times(KILLS_WITHIN)):
        name = f"set-{kill}"
        files = {f"{name}/{path}": data for path, data in make_set(scratch / name, source).items()}
        with local_backend.server() as server, Client(local_backend.uri, retry=NO_RETRIES) as client:
            journal.check(client, scratch, scoreboard)
            journal.begin(tree, with_files(journal.state(tree), files), name)
            number = source.randint(1, 4 if kind == "sync" else 40)
            with injecting(server.process.pid, CALLS[kind], "signal=KILL", number, scratch / "trace"):
                try:
                    client.log_artifacts(run_id, scratch / name, name)
                except UnavailableError:
                    assert server.process.wait(120) == -signal.SIGKILL
                    scoreboard.injected(f"kill: within {kind}")
                else:
                    journal.acknowledge(tree)  # it makes fewer such calls in each of its threads
    with local_backend.server(), Client(local_backend.uri) as client:
        journal.check(client, scratch, scoreboard)
