"""All that a store holds, in a form that can be compared with another store's."""

from __future__ import annotations

from typing import Any

from holdfast._client import Client
from holdfast._store_sync.marks import PREFIX
from holdfast._wholes import read_model, read_run
from holdfast.v1 import run_service_pb2
from holdfast.v1.run_service_pb2_grpc import RunServiceStub


def contents(client: Client) -> dict[str, Any]:
    """Runs, logged models and experiments: everything but ids of experiments and what sync notes for itself."""
    experiments = {e.experiment_id: e for e in client.search_experiments(view_type=3)}
    active = [e.experiment_id for e in experiments.values() if e.lifecycle_stage == "active"]
    runs = client.search_runs(active, run_view_type=3, max_results=50_000)
    models = client.search_logged_models(active, max_results=None)
    return {
        "experiments": {
            experiments[i].name: (experiments[i].artifact_location, _kept(experiments[i].tags)) for i in active
        },
        "runs": {
            run.info.run_id: _run(client, run.info.run_id, experiments[run.info.experiment_id].name) for run in runs
        },
        "models": {model.model_id: _model(client, model.model_id) for model in models},
    }


def points(client: Client, run_id: str) -> list[bytes]:
    """All points of a run in the order of their arrival, to the last bit."""
    found: list[bytes] = []
    stub = client.channel.stub(RunServiceStub)
    while True:
        request = run_service_pb2.ListMetricPointsRequest(run_id=run_id, start_position=len(found))
        page = client.channel.call(stub.ListMetricPoints, request)
        if not page.metrics:
            return found
        found += [metric.SerializeToString() for metric in page.metrics]


def tree(client: Client, uri: str) -> dict[str, object]:
    return {e.path: (e.digest, e.is_dir) for e in client.artifacts.list(uri, recursive=True)}


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith(PREFIX)}


def _run(client: Client, run_id: str, experiment: str) -> dict[str, Any]:
    run = read_run(client.channel, run_id)
    own = [field for field in run.DESCRIPTOR.fields_by_name if field not in {"tags", "experiment_id", "lost"}]
    return {
        "experiment": experiment,
        "tags": _kept({tag.key: tag.value for tag in run.tags}),
        "points": points(client, run_id),
        "files": tree(client, f"runs:/{run_id}") if run.lifecycle_stage == 1 else {},
        **{field: repr(getattr(run, field)) for field in own},
    }


def _model(client: Client, model_id: str) -> dict[str, Any]:
    model = read_model(client.channel, model_id)
    own = {"model_id", "name", "source_run_id", "model_type", "status", "status_message", "params", "metrics"}
    return {
        "tags": _kept({tag.key: tag.value for tag in model.tags}),
        "files": tree(client, f"models:/{model_id}"),
        **{field: repr(getattr(model, field)) for field in own},
    }
