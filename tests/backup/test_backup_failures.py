"""Backups and restores that are killed, interrupted or out of room: nothing half-made is visible, and they go on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.backup.conftest import Backend, Command, log_files, new_contents, objects_below, read_all
from tests.full_disk import MIB, fill, mounted
from tests.server_process import running_server

from holdfast._client import Client
from holdfast_server.backup import restore as restoring
from holdfast_server.backup.restore import RestoreSettings, restore
from holdfast_server.errors import FailedPrecondition
from holdfast_server.storage.host_lock import HostLock


def fill_store(backend: Backend, tmp_path: Path) -> dict[str, dict[str, bytes]]:
    """A store with 24 objects of 8 MiB and some small ones; returns the contents by run."""
    with backend.server(), Client(backend.uri) as client:
        contents = {f"large-{number}": os.urandom(8 * MIB) for number in range(24)} | new_contents()
        return {log_files(client, tmp_path / "set", contents): contents}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_backups_that_are_killed_at_any_moment_leave_only_whole_ones(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    fill_store(local_backend, tmp_path)
    backups, moments = tmp_path / "backups", random.Random(20261130)
    killed, progress = 0, set()
    for _ in range(12):
        process = holdfast.start("backup", backups, "--data-dir", local_backend.data_dir)
        deadline = time.monotonic() + 30
        while not list(backups.glob("backups/.partial-*/holdfast.db")) and process.poll() is None:
            assert time.monotonic() < deadline
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        progress.add(len(objects_below(backups / "objects")))
        listed = holdfast("restore", backups, "--list").stdout.splitlines()
        if listed:
            break
    assert killed >= 1
    assert len(progress) >= 1
    made = holdfast.json("backup", backups, "--data-dir", local_backend.data_dir)
    assert made["object_count"] == len(objects_below(backups / "objects"))
    assert not list(backups.glob("backups/.partial-*"))
    assert not list(backups.glob("objects/.incoming/*"))
    for line in holdfast("restore", backups, "--list").stdout.splitlines():
        assert "0 problems" in holdfast("restore", backups, "--verify", "--backup", line.split()[0]).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backup_says_so_and_leaves_nothing_half_made(
    number: signal.Signals, local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    fill_store(local_backend, tmp_path)
    backups = tmp_path / "backups"
    process = holdfast.start("backup", backups, "--data-dir", local_backend.data_dir)
    while not objects_below(backups / "objects"):
        assert process.poll() is None
    process.send_signal(number)
    output, told = process.communicate(timeout=120)
    assert (process.returncode, output, told.strip()) == (130, "", "Interrupted.")
    assert list((backups / "backups").iterdir()) == []
    assert holdfast("restore", backups, "--list").stdout == ""


@pytest.mark.slow
def test_a_full_disk_ends_a_backup_with_earlier_ones_whole(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    backup = ("backup", backups, "--data-dir", local_backend.data_dir)
    with mounted(backups, 64 * MIB), local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "first", new_contents())
        first = holdfast.json(*backup)
        log_files(client, tmp_path / "second", {f"large-{n}": os.urandom(8 * MIB) for n in range(3)})
        filler = fill(backups)
        told = holdfast(*backup, expect=1).stderr
        assert "cannot be" in told
        assert "full" in told or "No space left" in told
        filler.unlink()
        filler.write_bytes(bytes(backups_free(backups) - 20 * MIB))
        told = holdfast(*backup, expect=1).stderr
        assert "cannot be written" in told
        assert "No space left" in told
        listed = holdfast("restore", backups, "--list").stdout.splitlines()
        assert [line.split()[0] for line in listed] == [first["id"]]
        assert "0 problems" in holdfast("restore", backups, "--verify").stdout
        filler.unlink()
        made = holdfast.json(*backup)
        assert made["copied_objects"] < 3  # some were copied before the disk was full
        assert "0 problems" in holdfast("restore", backups, "--verify").stdout


def backups_free(directory: Path) -> int:
    """Bytes that are free on its file system."""
    return shutil.disk_usage(directory).free


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_restore_that_is_killed_goes_on_when_it_is_run_again(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    ((run_id, contents),) = fill_store(local_backend, tmp_path).items()
    backups, copy = tmp_path / "backups", tmp_path / "copy"
    count = holdfast.json("backup", backups, "--data-dir", local_backend.data_dir)["object_count"]
    process = holdfast.start("restore", backups, "--to", copy)
    while len(objects_below(copy / "store")) < 3:
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert not (copy / "holdfast.db").exists()
    with pytest.raises(FailedPrecondition, match=r"A restore into .* is not finished"):
        HostLock(copy)
    other = holdfast.json("backup", backups, "--data-dir", local_backend.data_dir)["id"]
    told = holdfast("restore", backups, "--to", copy, expect=1).stderr
    assert "was interrupted. Finish that one" in told
    first = holdfast("restore", backups, "--list").stdout.splitlines()[0].split()[0]
    assert first != other
    done = holdfast.json("restore", backups, "--to", copy, "--backup", first, "--verify")
    assert 0 < done["copied_objects"] <= count - 3
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(copy)]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        assert read_all(client, run_id, list(contents)) == contents
        assert client.check_storage(deep=True).findings == ()


def test_a_restore_that_was_killed_at_its_end_only_tidies_up(
    local_backend: Backend, holdfast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "set", {"file": b"content"})
    holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir)
    settings = RestoreSettings(source=tmp_path / "backups", target=tmp_path / "copy")

    class KilledError(BaseException):
        pass

    def kill(_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(restoring._Restore, "_tidy", kill)
        with pytest.raises(KilledError):
            restore(settings)
    before = (tmp_path / "copy" / "holdfast.db").read_bytes()
    restore(settings)
    assert (tmp_path / "copy" / "holdfast.db").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["holdfast.db", "store"]


@pytest.mark.slow
def test_a_full_disk_ends_a_restore_which_goes_on_with_more_room(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with local_backend.server(), Client(local_backend.uri) as client:
        contents = {f"large-{n}": os.urandom(8 * MIB) for n in range(3)}
        run_id = log_files(client, tmp_path / "set", contents)
    holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir)
    with mounted(copy, 48 * MIB):
        restore_it = ("restore", tmp_path / "backups", "--to", copy)
        (copy / ".restoring").mkdir()  # as an earlier attempt left it, so that the disk can be filled beside
        filler = fill(copy)
        filler.write_bytes(bytes(30 * MIB))
        told = holdfast(*restore_it, expect=1).stderr
        assert "cannot be written" in told
        assert "No space left" in told
        assert not (copy / "holdfast.db").exists()
        filler.unlink()
        assert holdfast.json(*restore_it, "--verify")["copied_objects"] < 3
        arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(copy)]
        with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
            assert read_all(client, run_id, list(contents)) == contents


def test_nothing_is_restored_over_what_is_there(local_backend: Backend, holdfast: Command, tmp_path: Path) -> None:
    with local_backend.server():
        holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir)
    told = holdfast("restore", tmp_path / "backups", "--to", local_backend.data_dir, expect=1).stderr
    assert "is not empty, and nothing in it is overwritten" in told
    assert "no backup 2026" in holdfast(
        "restore", tmp_path / "backups", "--to", tmp_path / "copy", "--backup", "2026", expect=1
    ).stderr  # fmt: skip
    assert not (tmp_path / "copy").exists()
    assert "Say where by --to" in holdfast("restore", tmp_path / "backups", expect=2).stderr
    assert "Name the directory" in holdfast("restore", expect=2).stderr
