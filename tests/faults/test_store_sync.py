"""Syncs of a store that are killed again and again, on a link that cuts: in the end all is there, and nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.client.store_contents import contents
from tests.faults.backends import Backend
from tests.faults.faulty_proxy import FaultyProxy
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.server_process import clean_environment

from holdfast._client import Client
from holdfast.entities import Metric

pytestmark = pytest.mark.slow

KILLS = 6
# A sync of what is added between two kills makes about so many calls of the target.
CALLS = 60

# Kills itself just before it makes one of its calls of the target, or when that was answered.
SYNC = """
import os, signal, sys
from holdfast._channel import Channel
from holdfast._client import Client

source, target, left, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
run = Channel.run

def counted(channel, attempt, **options):
    global left
    if channel.target.uri != target:
        return run(channel, attempt, **options)
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = run(channel, attempt, **options)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

Channel.run = counted
with Client(target) as client:
    synced = client.sync_from(source)
assert synced.is_complete, synced.problems
"""


@pytest.mark.timeout(7200)
def test_a_store_arrives_once_however_often_its_sync_is_killed(
    local_backend: Backend, sizing: Sizing, scoreboard: Scoreboard, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(scratch / "journals"))
    draw = sizing.random("store-sync")
    with (
        local_backend.server(),
        FaultyProxy.running(local_backend.socket, sizing.random("store-sync", "network")) as proxy,
        Client(local_backend.uri) as target,
        Client(scratch / "source") as source,
    ):
        kills = wanted = sizing.times(KILLS)
        add(source, draw)
        while kills:
            when = draw.choice(["before", "after"])
            done = subprocess.run(
                [sys.executable, "-c", SYNC, source.tracking_uri, proxy.uri, str(draw.randrange(1, CALLS)), when],
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode == -signal.SIGKILL:
                kills -= 1
                scoreboard.injected(f"kill: sync of a store, {when} a call")
            elif done.returncode:  # the network cut too often
                assert "UnavailableError" in done.stderr, done.stderr
            if draw.random() < 0.5:
                add(source, draw)
        for kind, count in proxy.injected.items():
            scoreboard.injected(f"network: {kind}", count=count)
        assert target.sync_from(source.tracking_uri).is_complete, f"after {wanted} kills"
        there, here = contents(target), contents(source)
        if there != here:
            scoreboard.lost(f"after {wanted} kills: {differing(there, here)}")
        again = target.sync_from(source.tracking_uri)
        assert (again.runs, again.points, again.files, again.changes) == (0, 0, 0, 0)
        assert contents(target) == here


def add(source: Client, draw: random.Random) -> None:
    """Make a store hold more: new runs, and more of those that are there."""
    runs = source.search_runs(["0"])
    for number in range(draw.randrange(1, 3)):
        run_id = draw.choice(runs).info.run_id if runs and draw.random() < 0.5 else source.create_run("0").info.run_id
        count = draw.choice([1, 40, 2_300])
        for start in range(0, count, 1_000):
            end = min(count, start + 1_000)
            source.log_batch(run_id, metrics=[Metric("m", i, i, draw.randrange(count)) for i in range(start, end)])
        source.log_param(run_id, f"p{draw.getrandbits(32)}", number)
        source.set_tag(run_id, draw.choice("abc"), draw.getrandbits(32))
        source.log_bytes(run_id, draw.randbytes(draw.choice([10, 300_000, 9 << 20])), f"f{draw.randrange(4)}")
        model = source.create_logged_model("0", f"model-{number}", run_id)
        source.log_batch(run_id, metrics=[Metric("acc", 0.5, 1, 1, model_id=model.model_id)])
        if draw.random() < 0.5:
            source.finalize_logged_model(model.model_id, "READY")
        if draw.random() < 0.5:
            source.set_terminated(run_id, draw.choice(["FINISHED", "FAILED"]))


def differing(there: dict, here: dict) -> list[str]:
    """What of a run or model differs."""
    return [
        f"{kind} {id_}: {field}"
        for kind in ("runs", "models")
        for id_ in {*there[kind], *here[kind]}
        for field in here[kind].get(id_, {"(not at the source)": None})
        if there[kind].get(id_, {}).get(field) != here[kind].get(id_, {}).get(field)
    ]
