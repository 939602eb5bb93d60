"""Runs and model versions as files: whole, checked to the last bit, and imported once."""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread

from holdfast._archive import members
from holdfast._archive.reader import Archive
from holdfast._archive.writer import ArchiveWriter, new_archive
from holdfast._client import Client
from holdfast.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric
from holdfast.errors import (
    AlreadyExistsError,
    DataLossError,
    HoldfastError,
    InvalidArgumentError,
    LocalFileError,
    NotFoundError,
)

MIB = 1 << 20


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Client]:
    """A client of a second server, which has nothing."""
    server = ServerThread(tmp_path / "other")
    with Client(server.uri) as client:
        yield client
    server.stop()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with what trees may hold: small and large files, equal ones, empty ones, an executable."""
    folder = tmp_path / "package"
    (folder / "code" / "empty").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "code" / "same").write_text("flavors: {}\n")
    (folder / "code" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "code" / "run.sh").chmod(0o755)
    (folder / "nothing").touch()
    (folder / "ümläut").write_bytes(os.urandom(1_000))
    (folder / "weights").write_bytes(os.urandom(17 * MIB))
    return folder


@pytest.fixture
def version(client: Client, package: Path, run_id: str, name: str) -> tuple[str, str]:
    """A version of a logged model: its name and number."""
    experiment_id = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment_id, "forest", run_id, {"t": "1"}, {"p": "2"}, "classifier")
    client.log_model_artifacts(model.model_id, package)
    client.finalize_logged_model(model.model_id, "READY")
    registered = client.register_logged_model(name, model.model_id, tags={"k": "v"})
    client.promote(name, registered.version, "prod", description="d")
    return name, registered.version


def tree(client: Client, uri: str) -> dict[str, str | None]:
    return {entry.path: entry.digest for entry in client.artifacts.list(uri, recursive=True)}


def test_a_version_moves_between_servers(client, other, version, tmp_path):
    name, number = version
    client.export_model_version(name, number, tmp_path / "archive")
    imported = other.import_model_version(tmp_path / "archive")
    original = client.get_model_version(name, number)
    assert (imported.name, imported.version, imported.digest) == (name, "1", original.digest)
    assert (imported.tags, imported.description, imported.run_id) == ({"k": "v"}, "d", original.run_id)
    assert (imported.aliases, imported.current_stage, imported.model_id) == ([], "None", original.model_id)
    assert tree(other, f"models:/{name}/1") == tree(client, f"models:/{name}/{number}")
    local = Path(other.download_artifacts(artifact_uri=f"models:/{name}/1/code/run.sh", dst_path=tmp_path / "out"))
    assert local.stat().st_mode & 0o100
    model = other.get_logged_model(imported.model_id)
    assert (model.name, model.status, model.params, model.model_type) == ("forest", "READY", {"p": "2"}, "classifier")
    assert model.tags["t"] == "1"
    # Again, and under another name.
    assert other.import_model_version(tmp_path / "archive").version == "1"
    assert other.import_model_version(tmp_path / "archive", f"{name}-b").model_id == original.model_id
    assert len(other.search_logged_models(["0"])) == 1
    assert len(other.search_model_versions(f"name = '{name}'")) == 1


def test_a_version_is_exported_when_its_run_and_model_are_gone(other, package, tmp_path):
    run_id = other.create_run("0").info.run_id
    model = other.create_logged_model("0", "forest", run_id)
    other.log_model_artifacts(model.model_id, package)
    other.finalize_logged_model(model.model_id, "READY")
    other.register_logged_model("m", model.model_id)
    before = tree(other, "models:/m/1")
    other.delete_run(run_id)
    other.delete_logged_model(model.model_id)
    other.collect_garbage(grace=0, purge_deleted=0)
    other.export_model_version("m", 1, tmp_path / "archive")
    imported = other.import_model_version(tmp_path / "archive", "n")
    assert (imported.digest, imported.run_id) == (other.get_model_version("m", 1).digest, run_id)
    assert tree(other, "models:/n/1") == before


def test_an_import_beside_the_original_uses_its_model(client, version, tmp_path):
    name, number = version
    client.export_model_version(name, number, tmp_path / "archive")
    imported = client.import_model_version(tmp_path / "archive", f"{name}-b")
    original = client.get_model_version(name, number)
    assert (imported.model_id, imported.digest) == (original.model_id, original.digest)
    client.delete_logged_model(original.model_id)
    again = client.import_model_version(tmp_path / "archive", f"{name}-c")
    assert again.model_id != original.model_id
    assert again.digest == original.digest
    client.delete_logged_model(again.model_id)
    assert client.import_model_version(tmp_path / "archive", f"{name}-d").digest == original.digest


def test_a_directory_of_a_run_becomes_a_model_of_its_own(client, other, run_id, package, tmp_path):
    name = f"of-{run_id}"
    client.log_artifact(run_id, package)
    client.log_text(run_id, "not part of it", "notes.txt")
    client.create_model_version(name, f"runs:/{run_id}/package", create_registered_model=True)
    client.export_model_version(name, 1, tmp_path / "archive")
    imported = other.import_model_version(tmp_path / "archive")
    assert imported.run_id == run_id
    found = tree(other, f"models:/{name}/1")
    assert found == {path: digest for path, digest in tree(client, f"models:/{name}/1").items() if path}
    assert "notes.txt" not in found


def test_the_same_archive_comes_of_the_same_version(client, version, tmp_path):
    for file in ("a", "b"):
        client.export_model_version(*version, tmp_path / file)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as archive:
        names = archive.getnames()
    assert (names[0], names[-1]) == ("holdfast.json", "digests.json")
    assert len([name for name in names if name.startswith("files/")]) == 5


def log_run(client: Client, experiment_id: str, package: Path) -> str:
    run = client.create_run(experiment_id, 1_000, {"mlflow.user": "ada", "note": "é"}, "first")
    run_id = run.info.run_id
    points = [Metric("loss", 1 / (step + 1), 5_000 + step, step) for step in range(2_500)]
    odd = [Metric("odd", value, 7, -step) for step, value in enumerate([math.nan, math.inf, -math.inf, -0.0, 1e-300])]
    for start in range(0, len(points), 1_000):
        client.log_batch(run_id, points[start : start + 1_000])
    client.log_batch(run_id, odd)
    client.log_params(run_id, {f"p{number}": number for number in range(250)})
    client.log_artifact(run_id, package)
    model = client.create_logged_model(experiment_id, "forest", run_id, params={"depth": 3})
    client.log_model_artifacts(model.model_id, package)
    client.finalize_logged_model(model.model_id, "READY")
    elsewhere = client.create_logged_model(experiment_id, "base")
    client.finalize_logged_model(elsewhere.model_id, "FAILED", status_message="why")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 4)])
    data = DatasetInput(Dataset("iris", "abc", "local", "{}"), [InputTag("mlflow.data.context", "train")])
    client.log_inputs(run_id, [data], [LoggedModelInput(elsewhere.model_id)])
    client.log_metric(run_id, "accuracy", 0.5, 9, 1, None, "iris", "abc", model.model_id)
    client.set_terminated(run_id, "FAILED", 99_000)
    return run_id


def all_of(client: Client, run_id: str) -> dict[str, object]:
    """Everything about a run that an export carries."""
    run = client.get_run(run_id)
    models = [link.model_id for link in (*run.outputs.model_outputs, *run.inputs.model_inputs)]
    return {
        "info": (run.info.run_name, run.info.user_id, run.info.status, run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": {key: value for key, value in run.data.tags.items() if key != "holdfast.import"},
        "metrics": {
            key: [(m.step, m.timestamp, repr(m.value), m.model_id, m.dataset_name) for m in points]
            for key in run.data.metrics
            for points in [client.get_metric_history(run_id, key)]
        },
        "inputs": run.inputs,
        "outputs": run.outputs,
        "tree": tree(client, f"runs:/{run_id}"),
        "models": [
            (model.name, model.status, model.status_message, model.params, model.source_run_id)
            for model in map(client.get_logged_model, models)
        ],
    }


def test_a_run_moves_between_servers_with_all_that_belongs_to_it(client, other, experiment_id, package, tmp_path):
    run_id = log_run(client, experiment_id, package)
    client.export_run(run_id, tmp_path / "archive")
    imported = other.import_run(tmp_path / "archive")
    assert imported.info.run_id == run_id
    assert all_of(other, run_id) == all_of(client, run_id)
    experiment = other.get_experiment(imported.info.experiment_id)
    assert experiment.name == client.get_experiment(experiment_id).name
    # What is done to it here stays when the same archive comes again.
    other.set_tag(run_id, "note", "mine")
    before = all_of(other, run_id)
    other.import_run(tmp_path / "archive")
    assert all_of(other, run_id) == before


def test_an_empty_run_moves_too(client, other, run_id, tmp_path):
    client.export_run(run_id, tmp_path / "archive")
    assert other.import_run(tmp_path / "archive", "elsewhere").info.status == "RUNNING"
    assert other.get_experiment_by_name("elsewhere") is not None
    assert all_of(other, run_id) == all_of(client, run_id)


def test_a_run_that_the_archive_did_not_make_is_left_alone(client, run_id, tmp_path):
    client.export_run(run_id, tmp_path / "archive")
    with pytest.raises(AlreadyExistsError, match="that this archive did not make"):
        client.import_run(tmp_path / "archive")


def test_another_archive_of_an_imported_run_is_not_mixed_with_it(client, other, run_id, tmp_path):
    client.export_run(run_id, tmp_path / "early")
    client.log_metric(run_id, "m", 1.0)
    client.export_run(run_id, tmp_path / "late")
    other.import_run(tmp_path / "early")
    with pytest.raises(AlreadyExistsError):
        other.import_run(tmp_path / "late")
    assert other.get_run(run_id).data.metrics == {}


@pytest.mark.parametrize("steps", [1, 4, 8, 12])
def test_an_import_that_was_cut_off_goes_on(client, other, package, monkeypatch, steps):
    run_id = log_run(client, "0", package)
    archive = package.parent / "archive"
    client.export_run(run_id, archive)
    call, calls = other.channel.call, 0

    def cut_off(*args, **options):
        nonlocal calls
        calls += 1
        if calls > steps:
            raise KeyboardInterrupt
        return call(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(other.channel, "call", cut_off)
        with pytest.raises(KeyboardInterrupt):
            other.import_run(archive)
    for run in other.search_runs([e.experiment_id for e in other.search_experiments()]):
        assert (run.info.status, run.data.tags["holdfast.import"][64:]) == ("RUNNING", " (not complete)")
    other.import_run(archive)
    assert all_of(other, run_id) == all_of(client, run_id)


@pytest.mark.parametrize("kind", ["run", "version"])
def test_imports_at_the_same_time_have_one_effect(client, other, package, kind):
    archive = package.parent / "archive"
    run_id = log_run(client, "0", package)
    if kind == "run":
        client.export_run(run_id, archive)
    else:
        name = f"of-{run_id}"
        client.create_model_version(name, f"runs:/{run_id}/forest", create_registered_model=True)
        client.export_model_version(name, 1, archive)
    with ThreadPoolExecutor(4) as pool:
        imports = [
            pool.submit(other.import_run if kind == "run" else other.import_model_version, archive) for _ in range(4)
        ]
        results = [future.result() for future in imports]
    if kind == "run":
        assert all_of(other, run_id) == all_of(client, run_id)
    else:
        assert {(result.version, result.digest) for result in results} == {("1", results[0].digest)}
        assert len(other.search_model_versions()) == len(other.search_logged_models(["0"])) == 1


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory) -> bytes:
    """An archive of a version with little in it."""
    folder = tmp_path_factory.mktemp("small")
    server = ServerThread(folder / "data")
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        client.log_text(run_id, "weights", "model/MLmodel")
        client.log_text(run_id, "w", "model/b/c")
        client.create_model_version("m", f"runs:/{run_id}/model", create_registered_model=True)
        client.export_model_version("m", 1, folder / "archive")
    server.stop()
    return (folder / "archive").read_bytes()


def test_every_flipped_bit_is_found(small_archive, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(small_archive)
    assert Archive(path).head["kind"] == "model_version"
    for at in range(0, len(small_archive), 7):
        damaged = bytearray(small_archive)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises((DataLossError, InvalidArgumentError)):
            Archive(path)


def test_every_cut_is_found(small_archive, tmp_path):
    path = tmp_path / "archive"
    for length in range(0, len(small_archive), 97):
        path.write_bytes(small_archive[:length])
        with pytest.raises((DataLossError, InvalidArgumentError)):
            Archive(path)
    path.write_bytes(small_archive[:-512])
    with pytest.raises(DataLossError, match="cut off"):
        Archive(path)
    path.write_bytes(small_archive + b"\0")
    with pytest.raises(DataLossError):
        Archive(path)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_nothing_is_imported_of_a_damaged_archive(other, small_archive, tmp_path, damage):
    damaged = bytearray(small_archive)
    if damage == "flipped":
        damaged[small_archive.index(b"weights")] ^= 1
    else:
        del damaged[-2_000:]
    (tmp_path / "archive").write_bytes(damaged)
    with pytest.raises(DataLossError, match="Nothing was imported"):
        other.import_model_version(tmp_path / "archive")
    assert other.search_registered_models() == []
    assert other.search_logged_models(["0"]) == []


def rewritten(path: Path, archive: bytes, change: Callable[[dict[str, bytes]], None]) -> Path:
    """An archive made of another's members, changed, with fitting digests: what somebody who means ill can make."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    del contents[members.SUMS]
    change(contents)
    with path.open("wb") as stream:
        writer = ArchiveWriter(stream)
        for name, data in contents.items():
            if name.startswith("files/"):
                with writer.file(bytes.fromhex(name[6:])) as write:
                    write(data)
            else:
                with writer.lines(name) as write:
                    write(data)
        writer.finish()
    return path


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


W = "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326"
HOSTILE = {
    "leaves the tree": ({"entries.jsonl": line(path="../../etc/cron.d/x", size=1, digest=W)}, "refused"),
    "absolute": ({"entries.jsonl": line(path="/etc/passwd", size=1, digest=W)}, "refused"),
    "empty path": ({"entries.jsonl": line(path="", size=1, digest=W)}, "refused"),
    "wrong size": ({"entries.jsonl": line(path="a", size=2, digest=W)}, "lacks the content"),
    "enormous size": ({"entries.jsonl": line(path="a", size=1 << 62, digest=W)}, "lacks the content"),
    "absent content": ({"entries.jsonl": line(path="a", size=1, digest="00" * 32)}, "lacks the content"),
    "short digest": ({"entries.jsonl": line(path="a", size=1, digest="00")}, "lacks the content"),
    "both file and directory": (
        {"entries.jsonl": line(path="a", size=1, digest=W) + line(path="a/b", size=1, digest=W)},
        "both as a file and as a directory",
    ),
    "twice": ({"entries.jsonl": line(path="a", size=1, digest=W) * 2}, "not in order"),
    "no entries": ({"entries.jsonl": b"[]\n7\n"}, "none of an export"),
    "endless line": ({"entries.jsonl": b'{"path": "a'}, "does not end"),
    "not JSON": ({"version.json": b"\xff{"}, "not JSON"),
    "deep JSON": ({"version.json": b"[" * 200_000}, "not JSON"),
    "no object": ({"version.json": b"[]"}, "no JSON object"),
    "no version": ({"version.json": b'{"name": {"a": 1}}'}, "ModelVersion"),
    "bad name": ({"version.json": b'{"name": "a/b", "path": "model"}'}, "registered model name"),
    "newer format": (
        {"holdfast.json": b'{"format": "holdfast-archive", "format_version": 2, "kind": "model_version"}'},
        "Update the client",
    ),
    "other format": ({"holdfast.json": b'{"format": "zip"}'}, "does not say"),
    "other kind": (
        {"holdfast.json": b'{"format": "holdfast-archive", "format_version": 1, "kind": "run"}'},
        "no model version",
    ),
    "no version at all": ({"version.json": None}, "no version.json"),
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_nothing_is_imported_of_a_hostile_archive(other, small_archive, tmp_path, what):
    changes, message = HOSTILE[what]

    def change(contents: dict[str, bytes]) -> None:
        for name, data in changes.items():
            if data is None:
                del contents[name]
            else:
                contents[name] = data

    path = rewritten(tmp_path / "archive", small_archive, change)
    with pytest.raises((InvalidArgumentError, DataLossError), match=message):
        other.import_model_version(path)
    assert other.search_registered_models() == []
    assert other.search_logged_models(["0"]) == []


def test_a_hostile_name_that_only_the_server_refuses_leaves_nothing_behind(other, small_archive, tmp_path):
    def change(contents: dict[str, bytes]) -> None:
        # Equal after normalization, which the server finds.
        contents["entries.jsonl"] = b"".join(
            line(path=path, size=1, digest=W) for path in sorted(["e\u0301", "\u00e9"], key=str.encode)
        )
        for name in [name for name in contents if name.startswith("files/") and name != f"files/{W}"]:
            del contents[name]

    path = rewritten(tmp_path / "archive", small_archive, change)
    with pytest.raises(HoldfastError):
        other.import_model_version(path)
    assert other.search_registered_models() == []
    assert other.search_logged_models(["0"]) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"x", b"L"]
)
def test_only_plain_members_are_taken(tmp_path, kind):
    member = tarfile.TarInfo("holdfast.json")
    member.type, member.linkname = kind, "/etc/passwd"
    (tmp_path / "archive").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + members.END)
    with pytest.raises(InvalidArgumentError, match="no plain file"):
        Archive(tmp_path / "archive")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"x" * 5_000, bytes(1_024), bytes(5_000)])
def test_other_files_are_no_archives(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((InvalidArgumentError, DataLossError)):
        Archive(tmp_path / "file")


def test_an_archive_that_changes_while_it_is_read_is_given_up(small_archive, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(small_archive)
    archive = Archive(path)
    path.write_bytes(small_archive + b"more")
    with pytest.raises(LocalFileError, match="changed while it was imported"):
        archive.document("version.json")


def test_an_export_that_fails_leaves_no_file(client, tmp_path):
    with pytest.raises(NotFoundError):
        client.export_model_version("never", 1, tmp_path / "archive")
    with pytest.raises(LocalFileError, match="cannot be written"), new_archive(tmp_path / "absent" / "archive"):
        pass
    with pytest.raises(ZeroDivisionError), new_archive(tmp_path / "archive"):
        1 / 0  # noqa: B018
    with pytest.raises(FileNotFoundError):
        client.import_run(tmp_path / "archive")
    assert list(tmp_path.glob("*archive*")) == []


def test_large_members_have_a_size_that_old_tar_cannot_write():
    size = 20 << 30
    assert members.parse_header(members.header("files/" + "0" * 64, size)) == ("files/" + "0" * 64, size)
