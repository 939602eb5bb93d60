"""Wherever a backup or a restore is killed, what is visible is whole, and the next one comes to the end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.backup.conftest import Backend, log_files
from tests.server_process import clean_environment

from holdfast._client import Client
from holdfast_server.backup.create import BackupSettings, make_backup
from holdfast_server.backup.databases import reading
from holdfast_server.backup.repository import Repository
from holdfast_server.backup.restore import RestoreSettings, restore
from holdfast_server.backup.verify import verify
from holdfast_server.storage.blocks.local import LocalObjectStore

PROGRAM = Path(__file__).with_name("killed_program.py")


def run_until(step: int, *arguments: object) -> int:
    """Run a backup or a restore that dies at a step; returns its exit code."""
    command = [sys.executable, str(PROGRAM), str(step), *map(str, arguments)]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, env=clean_environment())
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


def assert_whole(database: Path, store: LocalObjectStore) -> None:
    with reading(database) as connection:
        verified = verify(connection, store, lambda _: None)
    assert verified.problems == []
    assert verified.objects.count == 2


@pytest.fixture
def data_dir(local_backend: Backend, tmp_path: Path) -> Path:
    """A store of two objects."""
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "first", {"one": b"1" * 700_000})
        log_files(client, tmp_path / "second", {"two": b"2", "three": b"3"})
    return local_backend.data_dir


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_backup_is_there_whole_or_not_at_all(data_dir: Path, tmp_path: Path) -> None:
    step, kept = 0, set()
    while True:
        step += 1
        backups = tmp_path / f"backups-{step}"
        code = run_until(step, "create", "--data-dir", data_dir, backups)
        if code == 0:
            break
        if (backups / "holdfast-backups.json").exists():
            found = Repository.open(backups).list_backups()
            kept.add(len(found))
            for backup in found:
                backup.check_database()
                assert_whole(backup.database, Repository(backups).objects)
        made = make_backup(BackupSettings(data_dir=data_dir, destination=backups))
        assert_whole(made.backup.database, Repository(backups).objects)
        assert not list((backups / "backups").glob(".partial-*"))
        shutil.rmtree(backups)
    assert step > 10
    assert kept == {0, 1}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_restored_store_is_there_whole_or_not_at_all(data_dir: Path, tmp_path: Path) -> None:
    backups, step, seen = tmp_path / "backups", 0, set()
    make_backup(BackupSettings(data_dir=data_dir, destination=backups))
    while True:
        step += 1
        copy = tmp_path / f"copy-{step}"
        code = run_until(step, "restore", "--to", copy, backups)
        if code == 0:
            break
        is_there = (copy / "holdfast.db").exists()
        seen.add(is_there)
        if is_there:
            assert_whole(copy / "holdfast.db", LocalObjectStore(copy / "store"))
        if not is_there or (copy / ".restoring").exists():
            restore(RestoreSettings(source=backups, target=copy))
        assert_whole(copy / "holdfast.db", LocalObjectStore(copy / "store"))
        assert not (copy / ".restoring").exists()
        shutil.rmtree(copy)
    assert step > 10
    assert seen == {False, True}
