"""Garbage is collected while others upload, read and are killed: what was acknowledged stays, the store stays sound."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.backends import Backend
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.server_process import ServerProcess, running_server

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.errors import FailedPreconditionError, HoldfastError
from holdfast_server.storage.sql.connection import connect

# Long enough for what one call does between two of its steps, and short enough that everything is garbage soon.
GRACE = 1.0
PATIENT = RetryPolicy(window=60, first_window=60)


# How long uploads and collections race at size 1.
RACE_SECONDS = 12


@contextmanager
def server_on(backend: Backend) -> Iterator[ServerProcess]:
    """One of any number of servers on the same data, at a port of its own."""
    store = ["--store", backend.store] if backend.store else []
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(backend.data_dir), *store]
    with running_server(*arguments, environment=backend.environment) as server:
        yield server


def uri_of(server: ServerProcess) -> str:
    return f"holdfast://{server.address.rpartition('/')[2]}"


@pytest.fixture
def uris(backend: Backend) -> Iterator[list[str]]:
    """Two server processes on one data directory."""
    with server_on(backend) as first, server_on(backend) as second:
        yield [uri_of(server) for server in (first, second)]


def write_set(folder: Path, source: random.Random, shared: list[bytes]) -> dict[str, bytes]:
    """Files that share packs, one of two blocks, and some whose contents other calls have too."""
    contents = {f"small/{n}": source.randbytes(source.randrange(1, 9_000)) for n in range(20)}
    contents |= {f"shared/{n}": source.choice(shared) for n in range(4)}
    contents["large"] = source.randbytes(1 << 20) * 9
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return contents


def files_below(folder: str) -> dict[str, bytes]:
    target = Path(folder)
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


class Uploader:
    """Uploads sets, deletes some runs and some files again, and remembers what must still be there."""

    def __init__(self, uri: str, directory: Path, number: int, sizing: Sizing) -> None:
        self.kept: dict[str, dict[str, bytes]] = {}
        self._uri, self._directory, self._source = uri, directory / str(number), sizing.random("garbage", number)
        self._shared = [random.Random(100 + n).randbytes(100_000) for n in range(6)]

    def run(self, over: float) -> int:
        """Go on until a time; returns how many sets were uploaded."""
        number = 0
        with Client(self._uri, retry=PATIENT) as client:
            while time.monotonic() < over:
                self._once(client, number)
                number += 1
        return number

    def _once(self, client: Client, number: int) -> None:
        run_id = client.create_run("0").info.run_id
        folder = self._directory / f"set-{number}"
        contents = write_set(folder, self._source, self._shared)
        client.log_artifacts(run_id, folder, "d")
        if number % 3 == 0:
            client.delete_run(run_id)
            return
        if number % 3 == 1:
            for name in [name for name in contents if self._source.random() < 0.7]:
                client.delete_artifacts(run_id, f"d/{name}")
                del contents[name]
        else:
            assert files_below(client.download_artifacts(run_id, "d", self._directory / f"back-{number}")) == contents
            shutil.rmtree(self._directory / f"back-{number}")
        shutil.rmtree(folder)
        self.kept[run_id] = contents


def collect(uri: str, over: float) -> int:
    """Collect garbage and check the store again and again; returns how often it was this server's turn."""
    done = 0
    with Client(uri, retry=PATIENT) as client:
        while time.monotonic() < over:
            try:
                client.collect_garbage(grace=GRACE, purge_deleted=0)
                check = client.check_storage(deep=True)
                assert [finding for finding in check.findings if finding.is_problem] == []
                done += 1
            except FailedPreconditionError as error:
                if error.reason != "UPKEEP_RUNNING":
                    raise
    return done


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_uploads_and_downloads_go_on_while_two_servers_collect_garbage(
    uris: list[str], backend: Backend, tmp_path: Path, sizing: Sizing, scoreboard: Scoreboard
) -> None:
    over = time.monotonic() + RACE_SECONDS * sizing.factor
    uploaders = [Uploader(uris[number % 2], tmp_path, number, sizing) for number in range(3)]
    with ThreadPoolExecutor(5) as pool:
        uploads = [pool.submit(uploader.run, over) for uploader in uploaders]
        collections = [pool.submit(collect, uri, over) for uri in uris]
        # How often depends on the machine; with MinIO behind it a check alone may take seconds.
        assert all(future.result() >= 1 for future in uploads)
        collected = sum(future.result() for future in collections)
    assert collected >= 1
    scoreboard.injected("garbage: collected under uploads", backend.name, collected)
    with Client(uris[0]) as client:
        assert client.collect_garbage(grace=GRACE, purge_deleted=0).failures == 0
        check = client.check_storage(deep=True)
        assert [finding for finding in check.findings if finding.is_problem] == []
        for uploader in uploaders:
            for run_id, contents in uploader.kept.items():
                if contents and files_below(client.download_artifacts(run_id, "d", tmp_path / run_id)) != contents:
                    scoreboard.lost(f"files of run {run_id}")


def test_packs_are_rewritten_under_readers(uris: list[str], tmp_path: Path) -> None:
    source = random.Random(7)
    contents = {f"{n:03}": source.randbytes(2_000) for n in range(400)}
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    with Client(uris[0]) as client, Client(uris[1]) as other:
        run_id = client.create_run("0").info.run_id
        client.log_artifacts(run_id, folder, "d")
        survivors, others = sorted(contents)[::40], [name for name in contents if int(name) % 40]
        stop = threading.Event()

        def read(number: int) -> int:
            rounds = 0
            while not stop.is_set():
                name = survivors[(number + rounds) % len(survivors)]
                assert other.artifacts.read_bytes(f"runs:/{run_id}/d/{name}") == contents[name]
                rounds += 1
            return rounds

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read, number) for number in range(3)]
            compacted = 0
            try:
                while others:
                    gone, others = others[: len(others) * 2 // 3 + 1], others[len(others) * 2 // 3 + 1 :]
                    for name in gone:
                        client.delete_artifacts(run_id, f"d/{name}")
                    compacted += client.collect_garbage(grace=0).compacted_packs
            finally:
                stop.set()
            assert all(reader.result() > 10 for reader in readers)
        assert compacted >= 3
        assert client.check_storage(deep=True).problems == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_collection_that_is_killed_leaves_a_sound_store_and_the_next_goes_on(
    backend: Backend, tmp_path: Path, sizing: Sizing, scoreboard: Scoreboard
) -> None:
    moments = sizing.random("collection", backend.name)
    kept: dict[str, dict[str, bytes]] = {}
    killed = 0
    for number in range(sizing.times(5)):
        with (
            server_on(backend) as server,
            Client(uri_of(server), retry=RetryPolicy(window=0, first_window=5)) as client,
        ):
            check = client.check_storage(deep=True)
            assert [finding for finding in check.findings if finding.is_problem] == []
            run_id, gone = [client.create_run("0").info.run_id for _ in range(2)]
            folder = tmp_path / f"set-{number}"
            kept[run_id] = write_set(folder / "kept", moments, [b"shared"])
            client.log_artifacts(run_id, folder / "kept")
            for part in range(4):
                write_set(folder / f"gone-{part}", moments, [b"other"])
                client.log_artifacts(gone, folder / f"gone-{part}")
            client.delete_run(gone)
            # The first at once, so that not every collection is faster than its killer.
            killer = threading.Timer(moments.uniform(0.0, 0.15) if number else 0.0, server.process.kill)
            killer.start()
            try:
                client.collect_garbage(grace=0, purge_deleted=0)
            except HoldfastError:
                killed += 1
            killer.join()
            scoreboard.injected("kill: gc", backend.name)
            server.process.wait(120)
        connection = connect(backend.data_dir / "holdfast.db")
        connection.execute("UPDATE leases SET expire_time = 0")  # as if its time had passed
        connection.close()
    assert killed >= 1
    with server_on(backend) as server, Client(uri_of(server)) as client:
        client.collect_garbage(grace=0, purge_deleted=0)
        check = client.check_storage(deep=True)
        assert check.findings == ()
        assert check.block_bytes == client.get_storage_usage().stored_bytes
        for run_id, contents in kept.items():
            assert files_below(client.download_artifacts(run_id, None, tmp_path / run_id)) == contents
