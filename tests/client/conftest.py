"""A real server on a real socket for the tests of the client, and clients of it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.counting_proxy import CountingProxy, counting_proxy

from holdfast import _active_run, _connection
from holdfast._client import Client
from holdfast._config import Target
from holdfast._journal import processes
from holdfast_server.app import App
from holdfast_server.config import ServerConfig


class ServerThread:
    """A server with an event loop of its own in a thread of this process.

    It tries its store out once, at its start: no file comes and goes there while a test looks.
    """

    def __init__(self, data_dir: Path, *addresses: str, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-server", daemon=True)
        self._thread.start()
        listens = addresses or ("127.0.0.1:0",)
        quiet = {"drain_timeout": 0.2, "probe_interval": 86_400.0}
        config = ServerConfig(data_dir=data_dir, addresses=listens, **{**quiet, **settings})
        # The loop's thread must own what it makes.
        self.app = self._run(self._started(config))
        self.port = self.app.ports[0]
        self.uri = f"holdfast://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._run(self.app.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    @staticmethod
    async def _started(config: ServerConfig) -> App:
        app = App(config)
        await app.start()
        await app._readiness.stop()  # its rounds would begin while a test looks
        await app._readiness.recent()
        return app


@pytest.fixture(autouse=True)
def _nothing_waits_for_a_server_that_is_gone() -> Iterator[None]:
    """Senders are the process's own: what a test leaves in one fails the flush of a later test, which is not at fault.

    A fixture that every test has is the last to end: what the others send at their end has been sent.
    """
    yield
    left = [target for target, held in processes._held.items() if held.sender.waiting]
    if told := [text for target in left if (text := drop_unsent(target))]:
        end = "End runs and close clients before their server stops."
        pytest.fail(f"This test leaves {', '.join(told)}, which is gone. {end}", pytrace=False)


def drop_unsent(target: Target) -> str:
    """Send what waits for a server; if that is gone, forget all of it and tell how much it was."""
    sender = processes._held[target].sender
    if sender.flush(60, away_timeout=1):
        return ""
    waiting = sender.waiting
    sender.delivered = sender.journal.appended  # so that its journal is removed, which sync would find otherwise
    sender.close()
    del processes._held[target]
    return f"{waiting} points and changes for {target.uri}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """One server for the session: each test uses names of its own."""
    server = ServerThread(tmp_path_factory.mktemp("server") / "data")
    yield server
    server.stop()


@pytest.fixture
def proxy(server: ServerThread) -> Iterator[CountingProxy]:
    """Stands before the server."""
    with counting_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def counted(proxy: CountingProxy) -> Iterator[Client]:
    """A client whose bytes are counted."""
    with Client(f"holdfast://127.0.0.1:{proxy.port}") as client:
        yield client


@pytest.fixture
def client(server: ServerThread) -> Iterator[Client]:
    with Client(server.uri) as client:
        yield client


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Client]:
    """A client of a second server, which has nothing."""
    server = ServerThread(tmp_path / "other")
    with Client(server.uri) as client:
        yield client
    server.stop()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"name-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def experiment_id(client: Client, name: str) -> str:
    """An experiment of the test's own."""
    return client.create_experiment(f"experiment-{name}")


@pytest.fixture
def run_id(client: Client, experiment_id: str) -> str:
    """A run of the test's own."""
    return client.create_run(experiment_id).info.run_id


@pytest.fixture
def journals(tmp_path, monkeypatch) -> Path:
    """A directory of the test's own for what is logged."""
    path = tmp_path / "journals"
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(path))
    return path


@pytest.fixture
def fluent(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The fluent functions speak to the test server; what a test leaves active is ended."""
    forget_connection(monkeypatch)
    monkeypatch.setenv("HOLDFAST_URI", server.uri)
    client = _connection.current_client()
    yield client
    _active_run.end_all("FINISHED")
    client.close()


def forget_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a new process would."""
    for variable in ("URI", "EXPERIMENT_ID", "EXPERIMENT_NAME", "RUN_ID", "TOKEN", "INSECURE"):
        monkeypatch.delenv(f"HOLDFAST_{variable}", raising=False)
    for state in ("_client", "_target", "_experiment_id"):
        monkeypatch.setattr(_connection, state, None)
