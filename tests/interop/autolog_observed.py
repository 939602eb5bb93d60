"""What a training left behind, read through MLflow's own API or Holdfast's, which have the same names."""

import math


def observe(client, experiment_id):
    """All runs of an experiment, oldest first, as plain data that both sides can be compared by."""
    runs = client.search_runs([experiment_id], order_by=["attributes.start_time ASC"])
    order = {run.info.run_id: run for run in runs}
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return [_run(client, run, order) for run in parents]


def _run(client, run, order):
    children = [other for other in order.values() if other.data.tags.get("mlflow.parentRunId") == run.info.run_id]
    models = [client.get_logged_model(output.model_id) for output in run.outputs.model_outputs]
    return {
        "status": run.info.status,
        "params": dict(run.data.params),
        "metrics": {key: _number(value) for key, value in run.data.metrics.items()},
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
        | {key: value for key, value in run.data.tags.items() if key == "mlflow.autologging"},
        "datasets": [_dataset(item) for item in run.inputs.dataset_inputs],
        "artifacts": sorted(item.path for item in client.list_artifacts(run.info.run_id) if not item.is_dir),
        "models": sorted((_model(model) for model in models), key=lambda model: model["name"]),
        "children": sorted((_run(client, child, {}) for child in children), key=_score),
    }


def _dataset(item):
    dataset = item.dataset
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "schema": dataset.schema,
        "profile": dataset.profile,
        "tags": {tag.key: tag.value for tag in item.tags},
    }


def _model(model):
    metrics = {
        metric.key: [_number(metric.value), metric.dataset_name, metric.dataset_digest]
        for metric in model.metrics or ()
    }
    return {"name": model.name, "params": dict(model.params or {}), "metrics": metrics}


def _score(child):
    return sorted(child["params"].items())


def _number(value):
    return str(value) if math.isnan(value) else round(value, 9)
