"""A store with something of every kind, and a server to send it to."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.store_sync.syncing import MIB, serving

from holdfast._client import Client
from holdfast.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Client]:
    """A client of a server that has nothing."""
    with serving(tmp_path / "target") as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Client]:
    """A client of the store that is to be sent."""
    with serving(tmp_path / "source") as client:
        yield client


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with what trees may hold."""
    folder = tmp_path / "package"
    (folder / "code" / "empty").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "code" / "same").write_text("flavors: {}\n")
    (folder / "code" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "code" / "run.sh").chmod(0o755)
    (folder / "nothing").touch()
    (folder / "ümläut").write_bytes(os.urandom(2 * MIB))
    (folder / "weights").write_bytes(os.urandom(17 * MIB))
    for number in range(40):
        (folder / "code" / f"{number}.txt").write_text(f"{number}")
    return folder


@pytest.fixture
def full(source: Client, package: Path) -> str:
    """Fills the source with something of every kind; the id of its main run."""
    experiment_id = source.create_experiment("vision", "s3://bucket/vision", {"team": "red"})
    run = source.create_run(
        experiment_id, start_time=1_700_000_000_000, tags={"a": "1", "mlflow.user": "u"}, run_name="x"
    )
    run_id = run.info.run_id
    for i in range(250):
        source.log_param(run_id, f"p{i}", "v" * 30)
    model = source.create_logged_model(experiment_id, "forest", run_id, {"t": "1"}, {"p": "2"}, "classifier")
    source.log_model_artifacts(model.model_id, package)
    source.finalize_logged_model(model.model_id, "READY")
    failed = source.create_logged_model(experiment_id, "broken", run_id)
    source.finalize_logged_model(failed.model_id, "FAILED", status_message="no memory")
    metrics = [
        Metric("loss", value, 1_700_000_000_000 + i, -i) for i, value in enumerate([1.5, math.nan, math.inf, -0.0])
    ]
    metrics += [
        Metric("acc", 0.5, 1_700_000_000_000, 3, model_id=model.model_id, dataset_name="iris", dataset_digest="d1")
    ]
    metrics += [Metric(f"m{i % 3}", i, 1_700_000_000_000, i // 3) for i in range(2_500)]
    source.log_batch(run_id, metrics=metrics[:1_000])
    source.log_batch(run_id, metrics=metrics[1_000:2_000])
    source.log_batch(run_id, metrics=metrics[2_000:])
    dataset = DatasetInput(Dataset("iris", "d1", "local", "{}"), [InputTag("mlflow.data.context", "train")])
    source.log_inputs(run_id, [dataset], [LoggedModelInput(failed.model_id)])
    source.log_outputs(run_id, [LoggedModelOutput(model.model_id, 7)])
    source.log_artifacts(run_id, str(package), "data")
    source.set_terminated(run_id, "FAILED", 1_700_000_009_000)
    source.create_run("0")
    return run_id
