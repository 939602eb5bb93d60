"""Looking after the store through the client and the command line."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread
from tests.server_process import clean_environment

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.entities import CollectedGarbage, StorageCheck, ViewType
from holdfast.errors import (
    FailedPreconditionError,
    HoldfastError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from holdfast_server.storage.sql.connection import connect

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerThread]:
    """A server whose store holds what this test puts there, and nothing else."""
    server = ServerThread(tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def own_client(own_server: ServerThread) -> Iterator[Client]:
    with Client(own_server.uri) as client:
        yield client


@pytest.fixture
def holdfast(own_server: ServerThread) -> Command:
    """Runs the command against the test's own server."""

    def run(*args: str, expect: int = 0, uri: str = own_server.uri) -> subprocess.CompletedProcess[str]:
        program = [str(Path(sys.executable).parent / "holdfast"), "--uri", uri, *args]
        done = subprocess.run(
            program, capture_output=True, text=True, timeout=120, check=False, env=clean_environment()
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return run


def objects(tmp_path: Path) -> list[Path]:
    return [path for top in ("blocks", "packs") for path in (tmp_path / "data" / "store" / top).glob("*/*")]


def log(client: Client, run_id: str, tmp_path: Path, name: str = "f", size: int = 100_000) -> bytes:
    data = secrets.token_bytes(size)
    (tmp_path / name).write_bytes(data)
    client.log_artifact(run_id, tmp_path / name)
    return data


def test_deleting_a_run_and_collecting_frees_its_blocks(own_client, tmp_path):
    kept, run_id = [own_client.create_run("0").info.run_id for _ in range(2)]
    log(own_client, run_id, tmp_path)
    data = log(own_client, kept, tmp_path, "kept")
    own_client.delete_run(run_id)
    seen: list[CollectedGarbage] = []
    assert own_client.collect_garbage(grace=0, on_progress=seen.append).blocks == 0
    assert seen[-1].phase == "DONE"
    own_client.restore_run(run_id)
    own_client.delete_run(run_id)
    foreseen = own_client.collect_garbage(dry_run=True, grace=timedelta(0), purge_deleted=timedelta(0))
    assert (foreseen.purged_runs, foreseen.blocks, foreseen.block_bytes) == (1, 1, 100_000)
    assert own_client.get_run(run_id).info.lifecycle_stage == "deleted"
    collected = own_client.collect_garbage(grace=0, purge_deleted=0)
    assert (collected.purged_runs, collected.blocks, collected.block_bytes) == (1, 1, 100_000)
    assert len(objects(tmp_path)) == 1
    with pytest.raises(NotFoundError):
        own_client.get_run(run_id)
    with pytest.raises(NotFoundError):
        own_client.restore_run(run_id)
    found = own_client.search_runs(["0"], run_view_type=ViewType.ALL)
    assert [run.info.run_id for run in found] == [kept]
    assert Path(own_client.download_artifacts(kept, "kept", tmp_path / "out")).read_bytes() == data
    assert own_client.check_storage(deep=True).problems == 0


def test_a_version_of_a_purged_run_is_still_downloaded(own_client, tmp_path):
    run_id = own_client.create_run("0").info.run_id
    own_client.log_text(run_id, "weights", "model/MLmodel")
    own_client.create_registered_model("kept")
    own_client.create_model_version("kept", f"runs:/{run_id}/model")
    log(own_client, run_id, tmp_path)
    own_client.delete_run(run_id)
    collected = own_client.collect_garbage(grace=0, purge_deleted=0)
    assert (collected.purged_runs, collected.block_bytes) == (1, 100_000)
    local = own_client.download_artifacts(artifact_uri="models:/kept/1", dst_path=tmp_path / "out")
    assert (Path(local) / "MLmodel").read_text() == "weights"
    assert own_client.get_model_version("kept", "1").version == "1"


def test_logging_again_after_a_repair_makes_files_whole(own_client, tmp_path):
    run_id, other = [own_client.create_run("0").info.run_id for _ in range(2)]
    data = log(own_client, run_id, tmp_path)
    (path,) = objects(tmp_path)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    check = own_client.check_storage()
    assert (check.problems, check.read_bytes) == (0, 0)
    check = own_client.check_storage(deep=True)
    (finding,) = check.findings
    assert (check.problems, finding.kind, finding.is_problem) == (1, "CORRUPT", True)
    assert finding.affected == (f"runs:/{run_id}/f",)
    assert finding.object_key == f"blocks/{path.parent.name}/{path.name}"
    check = own_client.check_storage(deep=True, repair=True)
    assert (check.repaired, check.findings[0].repaired) == (1, True)
    own_client.log_artifact(other, tmp_path / "f")
    assert Path(own_client.download_artifacts(run_id, "f", tmp_path / "out")).read_bytes() == data
    assert own_client.check_storage(deep=True).problems == 0


def test_usage_counts_shared_bytes_once_in_the_store(own_client, tmp_path):
    experiment = own_client.create_experiment("other")
    runs = [own_client.create_run(experiment, run_name=f"r{n}").info.run_id for n in range(3)]
    log(own_client, runs[0], tmp_path)
    for run_id in runs[1:]:
        own_client.log_artifact(run_id, tmp_path / "f")
    own_client.log_text(runs[2], "more", "more")
    usage = own_client.get_storage_usage()
    assert (usage.file_count, usage.logical_bytes, usage.stored_bytes) == (4, 300_004, 100_004)
    assert (usage.saved_bytes, usage.reclaimable_bytes, usage.in_grace_bytes) == (200_000, 0, 0)
    assert [(one.id, one.name, one.total_size) for one in usage.largest] == [(experiment, "other", 300_004)]
    largest = own_client.get_storage_usage(group="runs", limit=1).largest
    assert [(one.id, one.name, one.file_count) for one in largest] == [(runs[2], "r2", 2)]
    assert own_client.get_storage_usage(group="models").largest == ()
    own_client.delete_artifacts(runs[2])
    usage = own_client.get_storage_usage()
    assert (usage.logical_bytes, usage.in_grace_bytes) == (200_000, 4)


@pytest.mark.parametrize("value", [-1, "24h", True, float("nan"), 1e30])
def test_bad_times_are_refused_before_anything_is_sent(own_client, value):
    with pytest.raises(InvalidArgumentError, match="grace"):
        own_client.collect_garbage(grace=value)


def test_the_second_is_told_who_was_first(own_client, own_server, tmp_path):
    database = connect(tmp_path / "data" / "holdfast.db")
    database.execute("INSERT INTO leases VALUES ('upkeep', 'x', 'Process 7 on host (checking)', 0, 1 << 60)")
    database.close()
    for call in (own_client.collect_garbage, own_client.check_storage):
        with pytest.raises(FailedPreconditionError, match="Process 7 on host") as caught:
            call()
        assert (caught.value.reason, caught.value.metadata["holder"]) == (
            "UPKEEP_RUNNING",
            "Process 7 on host (checking)",
        )


def test_a_server_that_is_away_is_one_error():
    with Client("holdfast://127.0.0.1:1", retry=RetryPolicy(window=0, first_window=0)) as client:
        for call in (client.collect_garbage, client.check_storage, client.get_storage_usage):
            with pytest.raises(UnavailableError):
                call()


def test_gc_on_the_command_line(holdfast: Command, own_client, tmp_path):
    run_id = own_client.create_run("0").info.run_id
    log(own_client, run_id, tmp_path)
    own_client.delete_artifacts(run_id, "f")
    assert holdfast("gc").stdout == "Deleted 0 blocks of 0 B.\n"
    done = holdfast("gc", "--dry-run", "--grace", "0")
    assert "Would delete 1 block of 97.7 KiB." in done.stdout
    assert done.stderr == ""
    assert len(objects(tmp_path)) == 1
    found = json.loads(holdfast("gc", "--grace", "0s", "--purge-deleted", "30d", "--json").stdout)
    assert (found["blocks"], found["block_bytes"], found["phase"], found["dry_run"]) == (1, 100_000, "DONE", False)
    assert objects(tmp_path) == []


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1w", "1h30m", "nan"])
def test_lengths_of_time_are_explained(holdfast: Command, text: str):
    done = holdfast("gc", "--grace", text, expect=2)
    assert f"{text!r} is not a length of time; write 90s, 15m, 24h, 30d or 0." in done.stderr


def test_fsck_on_the_command_line_says_by_its_exit_code_what_it_found(holdfast: Command, own_client, tmp_path):
    run_id = own_client.create_run("0").info.run_id
    data = log(own_client, run_id, tmp_path)
    assert holdfast("fsck", "--deep").stdout == "1 object, 1 block of 97.7 KiB, 97.7 KiB read: 0 problems\n"
    (path,) = objects(tmp_path)
    path.write_bytes(data[:-1])
    done = holdfast("fsck", expect=1)
    assert done.stdout.startswith("error: Block ")
    assert f"affects runs:/{run_id}/f\n" in done.stdout
    assert done.stdout.endswith(": 1 problem\n")
    finding, summary = map(json.loads, holdfast("fsck", "--repair", "--json", expect=1).stdout.splitlines())
    assert (finding["kind"], finding["repaired"]) == ("TRUNCATED", True)
    assert summary["summary"]["repaired"] == 1
    own_client.log_artifact(run_id, tmp_path / "f")
    holdfast("fsck", "--deep")


def test_fsck_that_cannot_check_exits_otherwise(holdfast: Command, own_client, tmp_path):
    (tmp_path / "data" / "store").rename(tmp_path / "data" / "elsewhere")
    error = holdfast("fsck", expect=2).stderr
    assert error.startswith("Error: The block store is not the one of this database")
    assert len(error.splitlines()) == 1
    assert "There is no Holdfast store" in holdfast("fsck", uri=str(tmp_path / "none"), expect=2).stderr


def test_du_on_the_command_line(holdfast: Command, own_client, tmp_path):
    run_id = own_client.create_run("0", run_name="largest").info.run_id
    log(own_client, run_id, tmp_path)
    text = holdfast("du", "--by", "runs").stdout
    assert "97.7 KiB  in 1 file of all runs and models" in text
    assert f"97.7 KiB  {run_id}  largest  (1 file)" in text
    found = json.loads(holdfast("du", "--top", "1", "--json").stdout)
    assert (found["logical_bytes"], found["largest"][0]["name"]) == (100_000, "Default")


def test_a_check_calls_back(own_client, tmp_path):
    run_id = own_client.create_run("0").info.run_id
    log(own_client, run_id, tmp_path)
    objects(tmp_path)[0].unlink()
    findings, seen = [], []
    check = own_client.check_storage(on_finding=findings.append, on_progress=seen.append)
    assert [finding.kind for finding in findings] == ["MISSING"]
    assert seen == [check] == [StorageCheck(objects=0, blocks=1, block_bytes=100_000, problems=1)]


def test_errors_are_ours(own_client):
    with pytest.raises(InvalidArgumentError, match="group is one of"):
        own_client.get_storage_usage(group="users")
    with pytest.raises(HoldfastError):
        own_client.get_storage_usage(limit=-1)
