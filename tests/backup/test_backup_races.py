"""Garbage is collected, packs are rewritten and runs are deleted while backups are made: each is whole all the same."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.backup.conftest import Backend, Command, log_files, new_contents, objects_below, read_all
from tests.server_process import running_server

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.errors import FailedPreconditionError, UnavailableError
from holdfast_server.backup import create
from holdfast_server.backup.create import BackupSettings, Made, make_backup
from holdfast_server.backup.databases import reading
from holdfast_server.backup.pin import Pin, pinned
from holdfast_server.backup.verify import verify
from holdfast_server.storage.sql.connection import connect

PATIENT = RetryPolicy(window=60, first_window=60)


def collect(client: Client) -> None:
    """Free all that is unused this moment, unless somebody else is doing so."""
    with contextlib.suppress(FailedPreconditionError):
        client.collect_garbage(grace=0, purge_deleted=0)


def back_up_while_all_is_deleted(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Between the database and the objects, most of what the copy of the database needs is deleted and collected."""
    copy = create.copy_objects
    with backend.server(), Client(backend.uri) as client:
        gone = log_files(client, tmp_path / "gone", new_contents())
        # Most of a pack goes, so that it is rewritten.
        sparse = log_files(client, tmp_path / "sparse", new_contents("sparse-"))

        def copy_later(*args, **kwargs):
            client.delete_run(gone)
            for number in range(7):
                client.delete_artifacts(sparse, f"sparse-small-{number}")
            assert client.collect_garbage(grace=0, purge_deleted=0).compacted_packs == 1
            return copy(*args, **kwargs)

        monkeypatch.setattr(create, "copy_objects", copy_later)
        settings = BackupSettings(data_dir=backend.data_dir, destination=tmp_path / "backups")
        for name, value in backend.environment.items():
            monkeypatch.setenv(name, value)
        made = make_backup(settings)
        removed = client.collect_garbage(grace=0).objects
        assert removed == (0 if made.copied.damaged else 4)
        assert client.check_storage(deep=True).problems == 0
    return made


def test_what_is_collected_while_a_backup_copies_is_removed_after_it(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up_while_all_is_deleted(backend, tmp_path, monkeypatch)
    assert made.copied.damaged == {}
    assert made.copied.count == 6
    with reading(made.backup.database) as connection:
        repository = create.Repository.open(tmp_path / "backups")
        assert verify(connection, repository.objects, lambda _: None).problems == []


def test_without_its_pin_the_same_backup_would_lack_objects(
    local_backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def unpinned(database: Path) -> Iterator[Pin]:
        yield Pin()

    monkeypatch.setattr(create, "pinned", unpinned)
    assert len(back_up_while_all_is_deleted(local_backend, tmp_path, monkeypatch).copied.damaged) == 4


def test_a_backup_whose_pin_expired_fails_when_something_is_gone(
    local_backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def slept(database: Path) -> Iterator[Pin]:
        pin = Pin()
        pin.lose()
        yield pin

    monkeypatch.setattr(create, "pinned", slept)
    with pytest.raises(create.BackupError, match=r"stopped for more than a minute.*No backup was made"):
        back_up_while_all_is_deleted(local_backend, tmp_path, monkeypatch)
    assert create.Repository.open(tmp_path / "backups").list_backups() == []


def test_a_killed_backup_holds_objects_for_a_minute_at_most(local_backend: Backend, tmp_path: Path) -> None:
    database = local_backend.data_dir / "holdfast.db"
    with local_backend.server(), Client(local_backend.uri) as client:
        run_id = log_files(client, tmp_path / "set", new_contents())
        pinning = pinned(database)
        pinning.__enter__()
        client.delete_run(run_id)
        assert client.collect_garbage(grace=0, purge_deleted=0).objects == 0
        assert len(objects_below(local_backend.data_dir / "store")) == 3
        connection = connect(database)
        (left,) = connection.execute("SELECT expire_time - begin_time FROM leases WHERE name LIKE 'pin:%'").fetchone()
        assert left <= 65_000 + 5_000
        connection.execute("UPDATE leases SET expire_time = 0")  # as if its time had passed
        connection.close()
        assert client.collect_garbage(grace=0).objects == 3
        pinning.__exit__(None, None, None)


class Uploader:
    """Logs sets that share packs and contents, and deletes most of them again."""

    def __init__(self, uri: str, folder: Path, number: int) -> None:
        self._uri, self._folder, self._number = uri, folder, number
        self.rounds = 0

    def run(self, stop: threading.Event) -> None:
        source = random.Random(self._number)
        runs: list[str] = []
        shared = random.Random(0).randbytes(3_000)
        with Client(self._uri, retry=PATIENT) as client:
            while not stop.is_set():
                folder = self._folder / f"{self._number}-{self.rounds}"
                contents = {f"small-{n}": source.randbytes(source.randrange(1, 5_000)) for n in range(12)}
                contents |= {"shared": shared, "large": source.randbytes(600_000)}
                try:
                    runs.append(log_files(client, folder, contents))
                except UnavailableError:  # collected away again and again, as may be without any grace
                    continue
                for n in range(10):
                    if source.random() < 0.8:
                        client.delete_artifacts(runs[-1], f"small-{n}")
                if len(runs) > 3:
                    client.delete_run(runs.pop(source.randrange(len(runs))))
                self.rounds += 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_backups_taken_while_others_upload_delete_and_collect_are_whole(
    backend: Backend, holdfast_of, tmp_path: Path
) -> None:
    holdfast: Command = holdfast_of(backend)
    backups, stop, made = tmp_path / "backups", threading.Event(), []
    with backend.server(), Client(backend.uri, retry=PATIENT) as client, ThreadPoolExecutor(4) as pool:
        kept = new_contents()
        kept_run = log_files(client, tmp_path / "kept", kept)

        collected = 0

        def collect_always() -> None:
            nonlocal collected
            with Client(backend.uri, retry=PATIENT) as collector:
                while not stop.wait(0.3):  # uploads need some time without
                    collect(collector)
                    collected += 1

        uploaders = [Uploader(backend.uri, tmp_path, number) for number in range(2)]
        working = [pool.submit(uploader.run, stop) for uploader in uploaders]
        working.append(pool.submit(collect_always))
        try:
            until = time.monotonic() + 20
            while len(made) < 4 or time.monotonic() < until or min(collected, *(u.rounds for u in uploaders)) < 2:
                for future in working:
                    if future.done():
                        future.result()  # raises what ended it
                made.append(holdfast.json("backup", backups, "--data-dir", backend.data_dir))
        finally:
            stop.set()
        for future in working:
            future.result()
        assert client.check_storage(deep=True).problems == 0
    assert all(backup["problems"] == [] for backup in made)
    for number, backup in enumerate(made):
        done = holdfast("restore", backups, "--backup", backup["id"], "--to", tmp_path / f"copy-{number}", "--verify")
        assert ": 0 problems." in done.stdout
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / f"copy-{len(made) - 1}")]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        assert read_all(client, kept_run, list(kept)) == kept
        collect(client)
        assert client.check_storage(deep=True).problems == 0
        assert read_all(client, kept_run, list(kept)) == kept
