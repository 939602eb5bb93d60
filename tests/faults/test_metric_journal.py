"""Clients that are killed in the middle of a training, on a link that cuts, lose no point that their journal held."""

from __future__ import annotations

import mmap
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.backends import Backend
from tests.faults.faulty_proxy import FaultyProxy
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.server_process import clean_environment

import holdfast
from holdfast._client import Client
from holdfast._journal.folder import folders

pytestmark = pytest.mark.slow

KILLS = 6
LONGEST = 60_000
PATIENCE = 120.0

# Says in shared memory how many calls have returned; that survives it.
TRAINING = """
import mmap, struct, sys, holdfast

with open(sys.argv[1], "r+b") as file:
    returned = mmap.mmap(file.fileno(), 8)
with holdfast.start_run(run_name=sys.argv[2]) as run:
    returned[:8] = struct.pack("<q", 0)
    print(run.info.run_id, flush=True)
    step = 0
    while True:
        holdfast.log_metric("loss", step / 2, step=step)
        step += 1
        returned[:8] = struct.pack("<q", step)
        if step % 10_000 == 0:
            holdfast.log_param(f"at-{step}", step)
"""


@pytest.mark.timeout(7200)
def test_a_killed_client_on_a_flaky_link_loses_no_point_that_its_journal_held(
    local_backend: Backend, sizing: Sizing, scoreboard: Scoreboard, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(scratch / "journals"))
    source = sizing.random("metric-journal")
    with (
        local_backend.server(),
        FaultyProxy.running(local_backend.socket, sizing.random("metric-journal", "network")) as proxy,
        Client(local_backend.uri) as direct,
    ):
        for number in range(sizing.times(KILLS)):
            run_id, returned = train_until_killed(proxy.uri, scratch / f"returned-{number}", source.randrange(LONGEST))
            scoreboard.injected("kill: client while it logs metrics")
            sync_all(scratch / "journals")
            found = [(point.step, point.value) for point in direct.get_metric_history(run_id, "loss")]
            # The call that the kill fell upon has not returned, and may have reached the journal or not.
            if found not in ([(step, step / 2) for step in range(count)] for count in (returned, returned + 1)):
                scoreboard.lost(
                    f"{returned} calls returned, {len(found)} points are there, {len(set(found))} different"
                )
        assert proxy.injected.total() > 0
        for kind, count in proxy.injected.items():
            scoreboard.injected(f"network: {kind}", count=count)


def train_until_killed(uri: str, counter: Path, target: int) -> tuple[str, int]:
    """The run of a training that was killed after about ``target`` calls, and how many calls had returned."""
    counter.write_bytes(bytes(8))
    with counter.open("r+b") as file, mmap.mmap(file.fileno(), 8) as returned:
        command = [sys.executable, "-c", TRAINING, str(counter), counter.name]
        environment = clean_environment({"HOLDFAST_URI": uri})
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            run_id = process.stdout.readline().strip()
            while int.from_bytes(returned[:8], "little") < target:
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        return run_id, int.from_bytes(returned[:8], "little")


def sync_all(journals: Path) -> None:
    """Send what is left, again and again as a user would; some of that is killed by the network, too."""
    give_up = time.monotonic() + PATIENCE
    while list(folders(journals)):
        assert time.monotonic() < give_up, holdfast.sync(dry_run=True)
        for result in holdfast.sync():
            assert not result.refused, result
