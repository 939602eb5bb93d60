"""What only the store in a directory does: durable directories, leftovers of killed writers, errors of the disk."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast_server.errors import Unavailable
from holdfast_server.storage.blocks import local
from holdfast_server.storage.blocks.local import LocalObjectStore

DAY_S = 24 * 3600


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    store = LocalObjectStore(tmp_path / "store")
    store.check()
    return store


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Directories in the order in which they were synced."""
    seen: list[Path] = []
    fsync = local.sync_directory

    def record(path: Path) -> None:
        fsync(path)
        seen.append(path)

    monkeypatch.setattr(local, "sync_directory", record)
    return seen


def put(store: LocalObjectStore, key: str, data: bytes = b"x") -> None:
    store.put(key, [data], b"")


def test_a_directory_that_another_writer_just_made_is_synced_too(store: LocalObjectStore, synced: list[Path]):
    root = store._directory
    (root / "blocks" / "ab").mkdir(parents=True)  # the other one has not come to sync yet
    put(store, "blocks/ab/1")
    assert synced == [root, root / "blocks", root / "blocks" / "ab"]
    synced.clear()
    put(store, "blocks/ab/2")
    assert synced == [root / "blocks" / "ab"]


def test_a_sync_that_failed_is_repeated(store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch):
    fsync, failing = local.sync_directory, True

    def fail_at_first(path: Path) -> None:
        if failing and path.name == "blocks":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(path)

    monkeypatch.setattr(local, "sync_directory", fail_at_first)
    for _ in range(2):
        with pytest.raises(Unavailable):
            put(store, "blocks/ab/1")
    failing = False
    put(store, "blocks/ab/1")
    assert store.get("blocks/ab/1", 0, 1) == b"x"
    assert list(store._incoming.iterdir()) == []


def test_a_directory_that_was_removed_is_made_again(store: LocalObjectStore):
    put(store, "blocks/ab/1")
    store.delete("blocks/ab/1")
    (store._directory / "blocks" / "ab").rmdir()
    put(store, "blocks/ab/1")
    assert store.get("blocks/ab/1", 0, 1) == b"x"


def test_only_old_temporary_files_are_removed(store: LocalObjectStore):
    now = time.time()
    for name, age_s in {"old": DAY_S + 60, "young": DAY_S - 600, "future": -60}.items():
        path = store._incoming / name
        path.write_bytes(b"half a block")
        os.utime(path, (now - age_s, now - age_s))
    put(store, "blocks/ab/1")
    os.utime(store._directory / "blocks/ab/1", (0, 0))
    store.check()
    assert {path.name for path in store._incoming.iterdir()} == {"young", "future"}
    assert store.get("blocks/ab/1", 0, 1) == b"x"


def test_a_leftover_that_cannot_be_removed_does_not_stop_the_start(store: LocalObjectStore):
    (store._incoming / "directory").mkdir()
    os.utime(store._incoming / "directory", (0, 0))
    store.check()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("call", ["open", "pread"])
def test_an_error_while_reading_is_unavailable(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, call: str, number: int
):
    put(store, "blocks/ab/1")

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:  # briefly: pytest itself opens files
        patch.setattr(os, call, fail)
        with pytest.raises(Unavailable, match=os.strerror(number)):
            store.get("blocks/ab/1", 0, 1)
