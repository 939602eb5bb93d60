"""Fixtures that the whole suite shares: real servers on real sockets, in directories of their own."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from holdfast_server.app import App
from holdfast_server.config import ServerConfig

pytest_plugins = [
    "tests.conformance.toolchains",
    "tests.faults.scoreboard",
    "tests.grpcurl_fixtures",
    "tests.minio_fixtures",
]


@pytest.fixture(scope="session", autouse=True)
def _journals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What clients log waits in a directory of this run, not in the developer's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path_factory.mktemp("journals")))
        yield


@pytest.fixture
def server_config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",))


@pytest.fixture
async def app(server_config: ServerConfig) -> AsyncIterator[App]:
    """A server in this process, on a free port."""
    app = App(server_config)
    await app.start()
    yield app
    await app.stop()


@pytest.fixture
async def channel(app: App) -> AsyncIterator[grpc.aio.Channel]:
    """A real channel to the server in this process."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.ports[0]}") as channel:
        yield channel


# A shell starts what it puts into the background with SIGINT ignored, and children inherit that: tests of Ctrl-C would
# see none.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
