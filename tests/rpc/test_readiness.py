"""Health tells whether the server can do its work: the database and the store are tried out, and break here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.rpc.metrics_page import fetch

from holdfast_server.app import App
from holdfast_server.config import ServerConfig
from holdfast_server.errors import Unavailable
from holdfast_server.rpc.registration import SERVICES
from holdfast_server.services.readiness import Finding, Readiness

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NEED_STORE = {f"holdfast.v1.{name}Service" for name in ("Artifact", "LiveArtifact", "Storage")}
LOCKS = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@pytest.fixture
def server_config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(
        data_dir=tmp_path / "data",
        addresses=("127.0.0.1:0",),
        metrics_address="127.0.0.1:0",
        probe_interval=0.05,
    )


class Health:
    """What a server says of its services."""

    def __init__(self, app: App, channel: grpc.aio.Channel) -> None:
        self._app, self._stub = app, health_pb2_grpc.HealthStub(channel)

    async def of(self, service: str) -> int:
        return int((await self._stub.Check(health_pb2.HealthCheckRequest(service=service))).status)

    async def of_all(self) -> dict[str, int]:
        return {service: await self.of(service) for service in ("", *SERVICES)}

    async def watch(self) -> AsyncIterator[int]:
        async for answer in self._stub.Watch(health_pb2.HealthCheckRequest()):
            yield int(answer.status)

    async def until(self, holds: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        while not holds(found := await self.of_all()):  # noqa: ASYNC110 - several services have no event together
            await asyncio.sleep(0.01)
        return found

    async def readyz(self) -> tuple[int, str]:
        assert self._app.operations is not None
        status, _, text = await asyncio.to_thread(fetch, self._app.operations.port, "/readyz")
        return status, text


@pytest.fixture
def health(app: App, channel: grpc.aio.Channel) -> Health:
    return Health(app, channel)


async def test_every_service_is_known_and_serves(health: Health):
    assert set((await health.of_all()).values()) == {SERVING}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.of("holdfast.v1.NoService")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await health.until(lambda _: True)
    while (await health.readyz())[0] != 200:  # noqa: ASYNC110 - the first round is under way
        await asyncio.sleep(0.01)
    assert (await health.readyz())[1] == "database: ok\nstore: ok\n"


async def test_services_that_need_the_store_stop_serving_when_it_fails_and_come_back(health: Health, tmp_path: Path):
    store = tmp_path / "data" / "store"
    watch = health.watch()
    assert await anext(watch) == SERVING
    store.rename(tmp_path / "away")
    store.write_text("not a directory")
    assert await anext(watch) == NOT_SERVING
    found = await health.until(lambda all_: NOT_SERVING in all_.values())
    assert {name for name, status in found.items() if status == NOT_SERVING} == {"", *NEED_STORE}
    status, text = await health.readyz()
    assert status == 503
    assert "database: ok" in text
    assert "store: The block store " in text  # a probe that was under way says something else than the next
    assert str(tmp_path) not in text

    store.unlink()
    (tmp_path / "away").rename(store)
    assert await anext(watch) == SERVING
    assert set((await health.of_all()).values()) == {SERVING}
    while (await health.readyz())[0] != 200:  # noqa: ASYNC110 - an HTTP page has no events
        await asyncio.sleep(0.01)


@pytest.mark.slow  # a probe is given five seconds
async def test_nothing_serves_while_the_database_cannot_be_written(health: Health, tmp_path: Path):
    database = tmp_path / "data" / "holdfast.db"
    locker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOCKS, str(database), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert locker.stdout is not None
    assert locker.stdin is not None
    try:
        assert await locker.stdout.readline() == b"locked\n"
        watch = health.watch()
        while await anext(watch) == SERVING:
            pass
        found = await health.of_all()
        assert {name for name, status in found.items() if status == SERVING} == {"grpc.health.v1.Health"}
        status, text = await health.readyz()
        assert status == 503
        assert "database: It did not answer a probe within 5 seconds." in text
    finally:
        locker.stdin.close()
        await locker.wait()
    assert await anext(watch) == SERVING


async def test_a_probe_of_the_database_reaches_the_disk(app: App, tmp_path: Path):
    await app._readiness.stop()  # another probe than this test's own shows nothing
    await app.database.probe()
    wal = tmp_path / "data" / "holdfast.db-wal"
    os.utime(wal, (0, 0))
    await app.database.probe()
    assert wal.stat().st_mtime_ns > 0
    assert await app.database.read(lambda tx: tx._connection.execute("SELECT COUNT(*) FROM leases").fetchone()[0]) == 0  # type: ignore[attr-defined]


async def test_probes_leave_nothing_in_the_store(health: Health, app: App, tmp_path: Path):
    await app._readiness.stop()  # after a round, or in one
    await app._readiness.recent()
    assert [path for path in (tmp_path / "data" / "store" / "check").rglob("*") if path.is_file()] == []


async def test_a_stop_is_told_before_calls_are_refused(server_config: ServerConfig):
    app = App(server_config)
    await app.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.ports[0]}") as channel:
        watch = Health(app, channel).watch()
        assert await anext(watch) == SERVING
        stopping = asyncio.ensure_future(app.stop())
        assert await anext(watch) == NOT_SERVING
        status, text = await Health(app, channel).readyz()
        assert status == 503
        assert text.endswith("server: it is stopping\n")
        await watch.aclose()  # type: ignore[attr-defined]
        await stopping


class Reports:
    """Keeps what rounds found."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, Finding]] = []

    async def __call__(self, findings: object) -> None:
        self.rounds.append(dict(findings))  # type: ignore[call-overload]


async def test_a_probe_that_hangs_is_not_joined_by_others():
    begun, hangs, reports = 0, asyncio.Event(), Reports()

    async def probe() -> None:
        nonlocal begun
        begun += 1
        await hangs.wait()

    readiness = Readiness({"store": probe}, interval=0, report=reports, limit=0.01)
    for _ in range(3):
        assert (await readiness.recent())["store"].problem == "It did not answer a probe within 0.01 seconds."
    assert begun == 1
    hangs.set()
    assert (await readiness.recent())["store"].is_fine
    assert (await readiness.recent())["store"].is_fine
    assert begun == 2


async def test_one_round_answers_all_who_ask_within_the_interval():
    begun = 0

    async def probe() -> None:
        nonlocal begun
        begun += 1

    readiness = Readiness({"store": probe}, interval=3600, report=Reports())
    await asyncio.gather(*(readiness.recent() for _ in range(10)))
    assert begun == 1


async def test_an_unexpected_error_of_a_probe_stays_in_the_log(caplog: pytest.LogCaptureFixture):
    async def probe() -> None:
        raise RuntimeError("/secret/path")

    readiness = Readiness({"store": probe}, interval=0, report=Reports())
    assert (await readiness.recent())["store"].problem == "A probe failed; the server's log says why."
    assert "/secret/path" in caplog.text


async def test_changes_are_logged_once(caplog: pytest.LogCaptureFixture):
    fails = True

    async def probe() -> None:
        if fails:
            raise Unavailable("It is away.")

    readiness = Readiness({"store": probe}, interval=0, report=Reports())
    for _ in range(3):
        await readiness.recent()
    fails = False
    for _ in range(3):
        await readiness.recent()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["not ready: store: It is away.", "ready again: store"]
