"""A restored copy and the store that it came from leave each other alone, in directories and in buckets."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.backup.conftest import Backend, Command, log_files, new_contents, objects_below, read_all
from tests.minio_server import MinioServer
from tests.server_process import running_server

from holdfast._client import Client
from holdfast.errors import FailedPreconditionError
from holdfast_server.storage.blocks.s3 import open_s3_store


def serving(data_dir: Path, *further: str, environment=None):
    """A server on a data directory."""
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir), *further]
    return running_server(*arguments, environment=environment)


def test_a_restored_copy_and_the_original_collect_garbage_of_their_own(
    local_backend: Backend, holdfast: Command, tmp_path: Path
) -> None:
    contents, others = new_contents(), new_contents("other-")
    with local_backend.server(), Client(local_backend.uri) as original:
        first = log_files(original, tmp_path / "first", contents)
        second = log_files(original, tmp_path / "second", others)
        holdfast("backup", tmp_path / "backups", "--data-dir", local_backend.data_dir)
        holdfast("restore", tmp_path / "backups", "--to", tmp_path / "copy")
        with serving(tmp_path / "copy") as server, Client(f"holdfast://{server.address}") as copy:
            copy.delete_run(first)
            assert copy.collect_garbage(grace=0, purge_deleted=0).objects == 3
            original.delete_run(second)
            assert original.collect_garbage(grace=0, purge_deleted=0).objects == 3
            assert read_all(copy, second, list(others)) == others
            assert read_all(original, first, list(contents)) == contents
            assert copy.check_storage(deep=True).findings == original.check_storage(deep=True).findings == ()


@pytest.fixture
def s3(minio_backend: Backend) -> Command:
    """The command with the credentials of the bucket."""
    return Command(minio_backend.environment)


@pytest.mark.minio
def test_a_copy_is_restored_into_a_bucket_of_its_own(
    minio_backend: Backend, minio: MinioServer, minio_bucket: str, s3: Command, tmp_path: Path
) -> None:
    contents, backups = new_contents(), tmp_path / "backups"
    new_store = minio.store_url(minio_bucket, "copy")
    with minio_backend.server(), Client(minio_backend.uri) as original:
        run_id = log_files(original, tmp_path / "set", contents)
        s3("backup", backups, "--data-dir", minio_backend.data_dir)
        told = s3("restore", backups, "--to", tmp_path / "copy", "--store", minio_backend.store, expect=1).stderr
        assert "cannot share a store" in told
        assert "--adopt-store" in told
        done = s3("restore", backups, "--to", tmp_path / "copy", "--store", new_store, "--verify")
        assert ": 0 problems." in done.stdout
        with (
            serving(tmp_path / "copy", "--store", new_store, environment=minio_backend.environment) as server,
            Client(f"holdfast://{server.address}") as copy,
        ):
            copy.delete_run(run_id)
            assert copy.collect_garbage(grace=0, purge_deleted=0).objects == 3
        assert read_all(original, run_id, list(contents)) == contents
        assert original.check_storage(deep=True).findings == ()


@pytest.mark.minio
def test_a_copy_that_adopts_the_bucket_shuts_the_original_out(
    minio_backend: Backend, s3: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, backups, copy_dir = new_contents(), tmp_path / "backups", tmp_path / "copy"
    for name, value in minio_backend.environment.items():
        monkeypatch.setenv(name, value)
    bucket = open_s3_store(minio_backend.store)
    with minio_backend.server(), Client(minio_backend.uri) as original:
        run_id = log_files(original, tmp_path / "set", contents)
        s3("backup", backups, "--data-dir", minio_backend.data_dir)
        lost = next(item.key for item in bucket.list_objects("packs/"))
        bucket.delete(lost)
        moved = f"{minio_backend.store}&region=us-east-1"  # as one writes it where the endpoint is another by now
        done = s3.json("restore", backups, "--to", copy_dir, "--adopt-store", "--store", moved, "--verify")
        assert done["problems"] == []
        assert done["copied_objects"] == 1
        with pytest.raises(FailedPreconditionError) as refused:
            original.collect_garbage(grace=0)
        assert refused.value.reason == "STORE_MISMATCH"
    with pytest.raises(AssertionError, match="belongs to another database"), minio_backend.server():
        pass
    with (
        serving(copy_dir, "--store", moved, environment=minio_backend.environment) as server,
        Client(f"holdfast://{server.address}") as copy,
    ):
        assert read_all(copy, run_id, list(contents)) == contents
        assert copy.check_storage(deep=True).findings == ()
        assert copy.collect_garbage(grace=0).objects == 0


@pytest.mark.minio
def test_a_backup_without_objects_needs_the_bucket_and_says_so(
    minio_backend: Backend, s3: Command, holdfast: Command, tmp_path: Path
) -> None:
    contents, backups = new_contents(), tmp_path / "backups"
    with minio_backend.server(), Client(minio_backend.uri) as original:
        run_id = log_files(original, tmp_path / "set", contents)
        made = s3.json("backup", backups, "--data-dir", minio_backend.data_dir, "--no-objects")
        assert (made["has_objects"], made["object_count"], made["copied_objects"]) == (False, 3, 0)
        assert objects_below(backups / "objects") == []
        keys = (backups / "backups" / made["id"] / "objects").read_text().splitlines()
        assert len(keys) == 3
        assert all(key.startswith(("blocks/", "packs/")) for key in keys)
        assert "no objects to be verified" in s3("restore", backups, "--verify", expect=1).stderr
        told = holdfast("restore", backups, "--to", tmp_path / "none", expect=1).stderr
        assert "credentials" in told
        s3("restore", backups, "--to", tmp_path / "local", "--verify")  # out of the bucket into the directory
        with serving(tmp_path / "local") as server, Client(f"holdfast://{server.address}") as copy:
            assert read_all(copy, run_id, list(contents)) == contents
    s3("restore", backups, "--to", tmp_path / "copy", "--adopt-store", "--verify")
    with (
        serving(tmp_path / "copy", "--store", minio_backend.store, environment=minio_backend.environment) as server,
        Client(f"holdfast://{server.address}") as copy,
    ):
        assert read_all(copy, run_id, list(contents)) == contents
