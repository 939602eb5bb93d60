"""Many processes upload the same blocks at the same time, through two servers on one data directory."""

from __future__ import annotations

import dataclasses
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.faults.backends import Backend
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.faults.stored_objects import Objects
from tests.server_process import clean_environment

from holdfast._client import Client
from holdfast_server.storage.sql.connection import connect

pytestmark = pytest.mark.slow

CLIENTS = 6
ROUNDS = 2

UPLOAD = """
import sys, holdfast
uri, folder, *runs = sys.argv[1:]
with holdfast.Client(uri) as client:
    client.get_run(runs[0])
    print("ready", flush=True)
    for number, run_id in enumerate(runs):
        sys.stdin.readline()
        client.log_artifacts(run_id, f"{folder}/{number}", "set")
        print("done", flush=True)
"""


@pytest.mark.timeout(1200)
def test_blocks_that_many_send_at_once_are_stored_once(
    backend: Backend, objects: Objects, sizing: Sizing, scoreboard: Scoreboard, scratch: Path
) -> None:
    rounds = sizing.times(ROUNDS)
    sets = [make_set(scratch / "sets" / str(number)) for number in range(rounds)]
    other = dataclasses.replace(backend, socket=backend.socket.with_name("s2"))
    with ExitStack() as stack:
        for each in (backend, other):
            stack.enter_context(each.server())
        client = stack.enter_context(Client(backend.uri))
        runs = [[client.create_run("0").info.run_id for _ in range(rounds)] for _ in range(CLIENTS)]
        processes = [
            stack.enter_context(uploading((backend, other)[number % 2].uri, scratch / "sets", runs[number]))
            for number in range(CLIENTS)
        ]
        assert [answer(process) for process in processes] == ["ready\n"] * CLIENTS
        for _ in range(rounds):
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            assert [answer(process) for process in processes] == ["done\n"] * CLIENTS
        scoreboard.injected("race: same blocks", backend.name, CLIENTS * rounds)
        for of_client in runs:
            for run_id, contents in zip(of_client, sets, strict=True):
                target = Path(client.download_artifacts(run_id, "set", scratch / f"back-{run_id}"))
                assert {p.name: p.read_bytes() for p in target.iterdir()} == contents
    connection = connect(backend.data_dir / "holdfast.db", read_only=True)
    try:
        recorded = {row["object_key"] for row in connection.execute("SELECT object_key FROM objects")}
        digests = connection.execute("SELECT COUNT(*) AS count FROM blocks").fetchone()["count"]
    finally:
        connection.close()
    # Each block has one row, and the objects of those who lost the race are gone.
    assert digests == sum(len(contents) for contents in sets)
    assert set(objects.keys()) == recorded


def make_set(folder: Path) -> dict[str, bytes]:
    """Blocks of a pack, and of their own; written where each client finds them."""
    folder.mkdir(parents=True)
    contents = {f"small-{i}": secrets.token_bytes(4_000) for i in range(30)}
    contents |= {f"large-{i}": secrets.token_bytes(2 << 20) for i in range(3)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return contents


def uploading(uri: str, folder: Path, runs: list[str]) -> subprocess.Popen[str]:
    """A client's process; it begins each set when it gets a line."""
    return subprocess.Popen(
        [sys.executable, "-c", UPLOAD, uri, str(folder), *runs],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
