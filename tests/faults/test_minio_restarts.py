"""MinIO is killed and started again in the middle of a transfer: it goes on, and what was stored is not sent again."""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio
from tests.faults.backends import Backend, socket_directory
from tests.faults.faulty_proxy import FaultyProxy
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.faults.workload import NO_RETRIES
from tests.minio_fixtures import running_minio
from tests.minio_server import MinioServer

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.errors import UnavailableError
from holdfast.format.digests import BLOCK_SIZE

pytestmark = [pytest.mark.slow, pytest.mark.minio, pytest.mark.timeout(7200)]

BLOCKS = 12
PATIENT = RetryPolicy(window=90, first_window=90)


@pytest.fixture
def own_minio() -> Iterator[MinioServer]:
    """One that no other test uses, as it is killed."""
    with running_minio() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Kills:
    """How often MinIO is killed, and when."""

    count: int
    moments: random.Random
    _scoreboard: Scoreboard

    def note(self, what: str) -> None:
        self._scoreboard.injected(f"kill: MinIO, {what}", "minio")


@pytest.fixture
def kills(sizing: Sizing, scoreboard: Scoreboard, request: pytest.FixtureRequest) -> Kills:
    return Kills(sizing.times(1), sizing.random("minio", request.node.name), scoreboard)


@pytest.fixture
def own_backend(own_minio: MinioServer, tmp_path: Path) -> Iterator[Backend]:
    with socket_directory() as directory:
        store = own_minio.store_url("blocks")
        yield Backend("minio", tmp_path / "data", directory / "s", store, own_minio.environment)


@pytest.fixture
def file(scratch: Path) -> Path:
    path = scratch / "model.bin"
    write_anew(path)
    return path


def write_anew(path: Path) -> None:
    """Bytes that no server has."""
    path.write_bytes(b"".join(secrets.token_bytes(BLOCK_SIZE) for _ in range(BLOCKS)))


def stored(server: MinioServer) -> int:
    """How many blocks the bucket holds."""
    host = server.endpoint.partition("//")[2]
    client = Minio(endpoint=host, access_key=server.access_key, secret_key=server.secret_key, secure=False)
    return sum(1 for _ in client.list_objects("blocks", prefix="blocks/", recursive=True))


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


@contextlib.contextmanager
def calling(call: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Make a call in a thread; the list gets its error, if it has one, before this returns."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        thread.join(120)
        assert not thread.is_alive(), "the call neither returned nor failed"


def test_an_upload_survives_restarts_of_minio(
    own_minio: MinioServer, own_backend: Backend, file: Path, kills: Kills, scratch: Path
) -> None:
    with (
        own_backend.server() as server,
        FaultyProxy.running(own_backend.socket) as counting,
        Client(counting.uri, retry=PATIENT) as client,
    ):
        for number in range(kills.count):
            write_anew(file)
            run_id, before = client.create_run("0").info.run_id, stored(own_minio)
            killed_at = before + kills.moments.randrange(1, BLOCKS - 2)
            with calling(lambda run_id=run_id: client.log_artifact(run_id, file)) as errors:
                wait_until(lambda killed_at=killed_at: stored(own_minio) >= killed_at)
                own_minio.kill()
                kills.note("upload")
                own_minio.restart()
            assert errors == []
            target = client.download_artifacts(run_id, "model.bin", scratch / f"back-{number}")
            assert Path(target).read_bytes() == file.read_bytes()
            Path(target).unlink()
            # Blocks whose PUT was cut off are put again; those that were answered are not.
            assert BLOCKS <= stored(own_minio) - before <= BLOCKS + 4
        assert server.process.poll() is None


def test_an_upload_that_fails_while_minio_is_away_sends_only_the_rest_later(
    own_minio: MinioServer, own_backend: Backend, file: Path, kills: Kills, scratch: Path
) -> None:
    with own_backend.server(), FaultyProxy.running(own_backend.socket) as counting:
        with Client(counting.uri, retry=NO_RETRIES) as client:
            run_id = client.create_run("0").info.run_id
            with calling(lambda: client.log_artifact(run_id, file)) as errors:
                wait_until(lambda: stored(own_minio) >= 4)
                own_minio.kill()
                kills.note("upload")
            assert [type(error) for error in errors] == [UnavailableError]
            assert "block store" in str(errors[0])
            assert client.list_artifacts(run_id) == []
        own_minio.restart()
        kept, before = stored(own_minio), counting.sent
        with Client(counting.uri, retry=PATIENT) as client:
            client.log_artifact(run_id, file)
            sent = counting.sent - before
            target = client.download_artifacts(run_id, "model.bin", scratch / "back")
        assert Path(target).read_bytes() == file.read_bytes()
    assert kept >= 4
    # A block may be stored and its row not yet written when the error ends the stream, so it is sent again.
    assert sent < (BLOCKS - kept + 4) * BLOCK_SIZE + (1 << 20), f"{sent} bytes sent, {kept} of {BLOCKS} were there"
    assert sent > (BLOCKS - kept) * BLOCK_SIZE


def test_a_download_survives_restarts_of_minio(
    own_minio: MinioServer, own_backend: Backend, file: Path, kills: Kills, scratch: Path
) -> None:
    with own_backend.server(), Client(own_backend.uri, retry=PATIENT) as client:
        run_id = client.create_run("0").info.run_id
        client.log_artifact(run_id, file)
        for number in range(kills.count):
            target = scratch / f"back-{number}"

            def begun(target: Path = target) -> bool:
                with contextlib.suppress(FileNotFoundError):  # one that gets its name
                    parts = (*target.glob("*.part"), *target.glob(".*.part"))
                    return any(path.stat().st_size for path in parts) or (target / "model.bin").exists()
                return True

            def download(target: Path = target) -> None:
                client.download_artifacts(run_id, "model.bin", target)

            with calling(download) as errors:
                wait_until(begun)
                own_minio.kill()
                kills.note("download")
                time.sleep(kills.moments.uniform(0, 0.2))
                own_minio.restart()
            if errors:  # the server gave up on its store before it was back
                assert isinstance(errors[0], UnavailableError)
                assert not (target / "model.bin").exists()
                download()
            assert (target / "model.bin").read_bytes() == file.read_bytes()
            (target / "model.bin").unlink()
