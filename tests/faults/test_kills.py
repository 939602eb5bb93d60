"""A server that is killed loses nothing that it acknowledged and shows nothing partial."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.backends import FAILPOINT_SERVER, Backend
from tests.faults.failpoints import ARM, TRACE_VARIABLE, VARIABLE, points
from tests.faults.journal import Journal
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.faults.workload import NO_RETRIES, Worker

from holdfast._client import Client

pytestmark = pytest.mark.slow

WORKERS = 3
# Far longer than any point takes to be passed; a point that is not is no point any more.
PATIENCE = 60


class Crowd:
    """Several clients at work on one server, over all its lives."""

    def __init__(self, backend: Backend, journal: Journal, source: random.Random, scratch: Path) -> None:
        self.backend, self.journal = backend, journal
        self.workers = [
            Worker(f"worker-{number}", self.journal, random.Random(source.random()), scratch)
            for number in range(WORKERS)
        ]
        self._scratch = scratch

    def begin(self, client: Client) -> None:
        for worker in self.workers:
            worker.begin(client)

    def check(self, client: Client, scoreboard: Scoreboard) -> None:
        self.journal.check(client, self._scratch, scoreboard)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The clients work until each has lost the server; any other error of theirs is the test's."""
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(WORKERS))
            clients = [
                stack.enter_context(Client(self.backend.uri, retry=NO_RETRIES, strict=True)) for _ in self.workers
            ]
            futures = [pool.submit(w.work, client) for w, client in zip(self.workers, clients, strict=True)]
            yield
            for future in futures:
                future.result(PATIENCE)


@pytest.fixture
def crowd(backend: Backend, journal: Journal, sizing: Sizing, scratch: Path) -> Crowd:
    crowd = Crowd(backend, journal, sizing.random("crowd", backend.name), scratch)
    with backend.server(), Client(backend.uri) as client:
        crowd.begin(client)
    return crowd


@pytest.mark.timeout(7200)
def test_nothing_acknowledged_is_lost_and_nothing_partial_is_seen(
    crowd: Crowd, backend: Backend, sizing: Sizing, scoreboard: Scoreboard
) -> None:
    source = sizing.random("kills", backend.name)
    for number, point in enumerate(plan(sizing.kills, points(backend.name), source)):
        failpoint = f"{point}@{source.randint(1, 4)}" if point else ""
        with (
            backend.server(command=FAILPOINT_SERVER, environment={VARIABLE: failpoint}) as server,
            Client(backend.uri) as client,
        ):
            crowd.check(client, scoreboard)
            with crowd.working():
                if point:
                    server.process.send_signal(ARM)
                else:
                    killer = threading.Timer(source.uniform(0, 0.6), server.process.kill)
                    killer.start()
                status = server.process.wait(PATIENCE)
            assert status == -signal.SIGKILL, f"kill {number} ({failpoint}): {server.lines}"
            scoreboard.injected(f"kill: {point or 'at random'}", backend.name)
    with backend.server(), Client(backend.uri) as client:
        crowd.check(client, scoreboard)
    assert crowd.journal.acknowledgements > sizing.kills


def plan(count: int, names: list[str], source: random.Random) -> list[str]:
    """A third of the kills at random moments (""), the others at the points, each as often as possible."""
    chosen: list[str] = []
    while len(chosen) < count:
        turn = source.sample(names, len(names))
        for place in range(len(names) // 2):
            turn.insert(place * 3, "")
        chosen.extend(turn)
    return chosen[:count]


def test_each_failpoint_is_passed(crowd: Crowd, backend: Backend, tmp_path: Path) -> None:
    """Otherwise a renamed function would end the kills at it without a word."""
    trace, wanted = tmp_path / "points", set(points(backend.name))
    passed: set[str] = set()
    with backend.server(command=FAILPOINT_SERVER, environment={TRACE_VARIABLE: str(trace)}) as server:
        server.process.send_signal(ARM)
        with crowd.working():
            for _ in range(PATIENCE * 10):
                passed = set(trace.read_text().split()) if trace.exists() else set()
                if passed >= wanted:
                    break
                with contextlib.suppress(Exception):
                    server.process.wait(0.1)
            server.process.kill()
    assert passed == wanted
