"""Transfers over a network that cuts, delays, slices, stalls and truncates end right, or in an error that says so."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from tests.faults.backends import Backend
from tests.faults.faulty_proxy import Fault, FaultyProxy
from tests.faults.journal import Journal, with_files, without
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.faults.workload import NO_RETRIES, delete

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.errors import UnavailableError
from holdfast.format.digests import BLOCK_SIZE

pytestmark = pytest.mark.slow

T = TypeVar("T")
RETRIES = RetryPolicy(window=5, first_window=5, initial_delay=0.02, max_delay=0.2)
# No single call may take longer, however it ends.
BOUND = 120.0
CLIENTS = 2


@pytest.mark.timeout(7200)
def test_transfers_through_a_faulty_network_end_right(
    backend: Backend, journal: Journal, sizing: Sizing, scoreboard: Scoreboard, scratch: Path
) -> None:
    source = sizing.random("network", backend.name)
    with backend.server(), FaultyProxy.running(backend.socket, source) as proxy, Client(backend.uri) as direct:
        runs = [direct.create_run("0").info.run_id for _ in range(CLIENTS)]

        def wanted() -> bool:
            return proxy.injected.total() < sizing.network_faults

        def work(number: int) -> None:
            # One that goes on by itself, one whose every fault is an error to its user.
            retry = RETRIES if number % 2 == 0 else NO_RETRIES
            with Client(proxy.uri, retry=retry) as client:
                transfer(
                    client,
                    runs[number],
                    journal,
                    wanted,
                    source=sizing.random("transfers", number),
                    scratch=scratch / f"client-{number}",
                )

        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                for future in [pool.submit(work, number) for number in range(CLIENTS)]:
                    future.result()
        finally:
            for kind, count in proxy.injected.items():
                scoreboard.injected(f"network: {kind}", backend.name, count)
        journal.check(direct, scratch, scoreboard)


def test_a_connection_that_goes_silent_is_given_up(
    local_backend: Backend, sizing: Sizing, scoreboard: Scoreboard, scratch: Path
) -> None:
    """As when a cable is pulled: no end of the connection is ever told."""
    if sizing.factor < 2:
        pytest.skip("takes until gRPC gives a connection up, 20 to 80 seconds: not at HOLDFAST_FAULTS=quick")
    data = sizing.random("silence").randbytes(3 * BLOCK_SIZE)
    silence = [Fault("silence", BLOCK_SIZE)]
    with (
        local_backend.server(),
        FaultyProxy.running(local_backend.socket, first=silence) as proxy,
        Client(proxy.uri) as client,
    ):
        run_id = client.create_run("0").info.run_id
        begun = time.monotonic()
        client.log_bytes(run_id, data, "data")
        assert time.monotonic() - begun < BOUND
        target = client.download_artifacts(run_id, "data", scratch / "back")
        assert Path(target).read_bytes() == data
        assert proxy.injected["silence"] == 1
        scoreboard.injected("network: silence")


def transfer(
    client: Client, run_id: str, journal: Journal, wanted: Callable[[], bool], *, source: random.Random, scratch: Path
) -> None:
    """Log a set, read it back, delete the one before, as long as there are to be more faults."""
    tree, number = f"runs:/{run_id}", 0
    journal.begin(tree, {}, "create")
    journal.acknowledge(tree)
    while wanted():
        number += 1
        name = f"set-{number}"
        files = {f"small/{i:02}": source.randbytes(source.randrange(1, 9_000)) for i in range(40)}
        files["large"] = source.randbytes(BLOCK_SIZE + source.randrange(1, 1 << 20))
        folder = scratch / name
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        after = with_files(journal.state(tree), {f"{name}/{path}": data for path, data in files.items()})
        journal.begin(tree, after, name)
        until_done(lambda folder=folder, name=name: client.log_artifacts(run_id, folder, name))
        journal.acknowledge(tree)
        back = scratch / "back"
        until_done(lambda name=name, back=back: client.download_artifacts(run_id, name, back))
        found = {p.relative_to(back / name).as_posix(): p.read_bytes() for p in back.rglob("*") if p.is_file()}
        assert found == files, "a download that succeeded has other bytes, or files under temporary names"
        start = source.randrange(len(files["large"]))
        assert (
            until_done(lambda name=name, start=start: read_range(client, f"{tree}/{name}/large", start))
            == (files["large"][start : start + 1_000])
        )
        if number > 1:
            journal.begin(tree, without(journal.state(tree), f"set-{number - 1}"), "delete")
            until_done(lambda number=number: delete_if_there(client, run_id, f"set-{number - 1}"))
            journal.acknowledge(tree)
        shutil.rmtree(folder)
        shutil.rmtree(back)


def read_range(client: Client, uri: str, start: int) -> bytes:
    with client.artifacts.open(uri) as file:
        file.seek(start)
        return file.read(1_000)


def delete_if_there(client: Client, run_id: str, path: str) -> None:
    """Delete; that an earlier attempt, whose answer was cut off, has done so already is fine."""
    if any(info.path == path for info in client.list_artifacts(run_id)):
        delete(client, run_id, path)


def until_done(call: Callable[[], T]) -> T:
    """Repeat a call until it succeeds, as a user would; its errors must say that repeating is right."""
    give_up = time.monotonic() + 5 * BOUND
    while (begun := time.monotonic()) < give_up:
        try:
            return call()
        except UnavailableError:
            time.sleep(0.02)  # gRPC refuses at once until it looks again whether the server is there
        finally:
            took = time.monotonic() - begun
            assert took < BOUND, f"a call took {took:.0f} s"
    raise AssertionError("no attempt went through")
