"""Runs and model versions as files: whole, checked to the last bit, and imported once."""

from __future__ import annotations

import math
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast._client import Client
from holdfast.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric
from holdfast.errors import (
    AlreadyExistsError,
)

MIB = 1 << 20


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


def test_what_says_something_about_a_server_makes_no_other_archive(client, version, tmp_path):
    name, number = version
    client.export_model_version(name, number, tmp_path / "first")
    client.promote(name, number, aliases=["eu"], stage="Staging")
    client.export_model_version(name, number, tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


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


def test_an_experiment_that_an_import_creates_is_said_to_be_where_the_exported_one_was(client, other, name, tmp_path):
    run_id = client.create_run(client.create_experiment(name, "s3://bucket/of-it")).info.run_id
    client.export_run(run_id, tmp_path / "archive")
    imported = other.get_experiment(other.import_run(tmp_path / "archive").info.experiment_id)
    assert (imported.name, imported.artifact_location) == (name, "s3://bucket/of-it")


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
