"""Backups of real servers while they serve: what is brought back is what was there, and nothing is copied twice."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.backup.conftest import Backend, Command, log_files, new_contents, objects_below, read_all
from tests.server_process import running_server

from holdfast._client import Client
from holdfast.entities import ViewType
from holdfast_server.storage.sql.connection import connect


def test_a_backup_of_a_serving_server_brings_back_every_run_and_file(
    backend: Backend, holdfast_of: Callable[[Backend], Command], tmp_path: Path
) -> None:
    holdfast, contents = holdfast_of(backend), new_contents()
    with backend.server(), Client(backend.uri) as client:
        run_id = log_files(client, tmp_path / "set", contents)
        made = holdfast.json("backup", tmp_path / "backups", "--data-dir", backend.data_dir)
        later = log_files(client, tmp_path / "later", new_contents("later-"))
    assert made["problems"] == []
    assert made["damaged"] == []
    assert made["object_count"] == made["copied_objects"] == 3
    restored = holdfast("restore", tmp_path / "backups", "--to", tmp_path / "copy", "--verify")
    assert "every block of 3 objects" in restored.stdout
    assert ": 0 problems." in restored.stdout
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "copy")]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        assert read_all(client, run_id, list(contents)) == contents
        assert client.get_run(run_id).data.metrics == {"loss": 1.0}
        assert later not in {run.info.run_id for run in client.search_runs(["0"], run_view_type=ViewType.ALL)}
        check = client.check_storage(deep=True)
        assert check.findings == ()
        assert check.objects == 3


def test_a_later_backup_copies_only_what_is_new(local_backend: Backend, holdfast: Command, tmp_path: Path) -> None:
    backup = ("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir)
    first, second = new_contents(), new_contents()
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "first", first)
        assert holdfast.json(*backup)["copied_objects"] == 3
        unchanged = holdfast.json(*backup)
        assert (unchanged["copied_objects"], unchanged["object_count"]) == (0, 3)
        log_files(client, tmp_path / "second", second | first)
        more = holdfast.json(*backup)
        assert more["copied_objects"] == more["object_count"] - 3 <= 4
    listed = holdfast("restore", tmp_path / "backups", "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed][1:] == [unchanged["id"], more["id"]]
    assert "0 problems" in holdfast("restore", tmp_path / "backups", "--verify", "--backup", unchanged["id"]).stdout


def test_an_embedded_store_is_backed_up_where_the_uri_names_it(holdfast: Command, tmp_path: Path) -> None:
    with Client(tmp_path / "store") as client:
        run_id = log_files(client, tmp_path / "set", {"file": b"content"})
        holdfast("--uri", tmp_path / "store", "backup", tmp_path / "backups")
    holdfast("restore", tmp_path / "backups", "--to", tmp_path / "copy")
    with Client(tmp_path / "copy") as client:
        assert read_all(client, run_id, ["file"]) == {"file": b"content"}


def test_the_uri_that_is_given_wins_over_the_variable_of_the_server(tmp_path: Path) -> None:
    holdfast = Command({"HOLDFAST_SERVER_DATA_DIR": str(tmp_path / "elsewhere")})
    with Client(tmp_path / "store") as client:
        client.create_run("0")
        holdfast("--uri", tmp_path / "store", "backup", tmp_path / "backups")
    assert "elsewhere" in holdfast("backup", tmp_path / "backups", expect=1).stderr


def test_old_backups_go_with_the_objects_that_only_they_needed(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    with local_backend.server(), Client(local_backend.uri) as client:
        for name in ("first", "second", "third"):
            run_id = log_files(client, tmp_path / name, new_contents())
            made = holdfast.json("backup", backups, "--data-dir", local_backend.data_dir, "--keep", 2)
            client.delete_run(run_id)
            client.collect_garbage(grace=0, purge_deleted=0)
    assert made["removed_backups"] == 1
    assert len(objects_below(backups / "objects")) == 6
    for line in holdfast("restore", backups, "--list").stdout.splitlines():
        assert "0 problems" in holdfast("restore", backups, "--verify", "--backup", line.split()[0]).stdout


def test_what_is_damaged_in_the_store_is_told_and_the_rest_is_backed_up(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    contents = new_contents()
    with local_backend.server(), Client(local_backend.uri) as client:
        run_id = log_files(client, tmp_path / "set", contents)
        damaged = max(objects_below(local_backend.data_dir / "store"), key=lambda path: path.stat().st_size)
        data = bytearray(damaged.read_bytes())
        data[1000] ^= 1
        damaged.write_bytes(data)
        done = holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir, expect=1)
    assert damaged.name in done.stderr
    assert "fsck --deep" in done.stderr
    done = holdfast("restore", tmp_path / "backups", "--to", tmp_path / "copy", "--verify", expect=1)
    assert damaged.name in done.stderr
    assert "1 problem" in done.stdout
    with Client(tmp_path / "copy") as client:
        small = [name for name in contents if "small" in name]
        assert read_all(client, run_id, small) == {name: contents[name] for name in small}
        assert client.check_storage().problems == 1


@pytest.mark.parametrize("part", ["holdfast.db", "objects", "manifest.json", "object"])
def test_a_flipped_bit_in_a_backup_is_found(
    part: str, local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "set", new_contents())
        made = holdfast.json("backup", backups, "--data-dir", local_backend.data_dir)
    place = backups / "backups" / made["id"] / part if part != "object" else objects_below(backups / "objects")[0]
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)
    told = holdfast("restore", backups, "--verify", expect=1).stderr
    assert "Choose another" in told or "has other bytes" in told
    done = holdfast("restore", backups, "--to", tmp_path / "copy", expect=0 if part == "objects" else 1)
    if part in ("holdfast.db", "manifest.json"):
        assert not (tmp_path / "copy").exists()
    elif part == "object":
        assert "has other bytes" in done.stderr


def test_a_backup_goes_nowhere_where_it_would_harm(local_backend: Backend, holdfast: Command, tmp_path: Path) -> None:
    data_dir = ("--data-dir", local_backend.data_dir)
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "set", {"file": b"content"})
        assert "holds something else" in holdfast("backup", tmp_path / "set", *data_dir, expect=1).stderr
        within = local_backend.data_dir / "backups"
        assert "within the data directory" in holdfast("backup", within, *data_dir, expect=1).stderr
        holdfast("backup", tmp_path / "backups", *data_dir)
        with (tmp_path / "backups" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert "is running" in holdfast("backup", tmp_path / "backups", *data_dir, expect=1).stderr
        told = holdfast("--uri", local_backend.uri, "backup", tmp_path / "other", expect=2).stderr
        assert "on its host" in told
        assert "--data-dir" in told
        told = holdfast("backup", tmp_path / "other", *data_dir, "--no-objects", expect=1).stderr
        assert "could not be restored" in told
    holdfast("restore", tmp_path / "backups", "--to", tmp_path / "copy")
    told = holdfast("backup", tmp_path / "backups", "--data-dir", tmp_path / "copy", expect=1).stderr
    assert "of another store" in told
    assert "no Holdfast store" in holdfast("backup", tmp_path / "b", "--data-dir", tmp_path / "no", expect=1).stderr
    assert "no backups in" in holdfast("restore", tmp_path / "set", "--list", expect=1).stderr
    assert not within.exists()
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "b").exists()


def test_a_database_of_a_newer_schema_is_refused(local_backend: Backend, holdfast: Command, tmp_path: Path) -> None:
    with local_backend.server():
        pass
    connection = connect(local_backend.data_dir / "holdfast.db")
    connection.execute(
        "UPDATE _sqlite_migrations SET name = '9999_later' WHERE id = (SELECT MAX(id) FROM _sqlite_migrations)"
    )
    connection.close()
    told = holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir, expect=1).stderr
    assert "A newer Holdfast wrote this database (schema 9999_later)" in told


def test_a_store_that_is_not_mounted_is_no_store_to_back_up(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    with local_backend.server(), Client(local_backend.uri) as client:
        log_files(client, tmp_path / "set", {"file": b"content"})
    shutil.rmtree(local_backend.data_dir / "store")
    told = holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir, expect=1).stderr
    assert "not the one of this database" in told
    assert not (tmp_path / "backups").exists()
