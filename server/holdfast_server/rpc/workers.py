"""Which requests the token of a worker may make, by what they name: its one run, and models that this logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from holdfast.v1 import live_artifact_service_pb2, model_pb2, run_pb2
from holdfast_server.domain.access import WorkerScope
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.database import Transaction

WorkerCheck = Callable[[Transaction, WorkerScope, Any], bool]


def always(_tx: Transaction, _worker: WorkerScope, _request: Any) -> bool:
    """It names nothing but what is the caller's own; the rest is passed over."""
    return True


def in_run(_tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """Its run."""
    return bool(request.run_id == worker.run_id)


def logs(tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """Its run, and points of models that this logged. To remove a tag would tell whether it was there."""
    named = {m.model_id for items in (request.metrics, request.metric_columns.series) for m in items if m.model_id}
    return in_run(tx, worker, request) and not request.deleted_tag_keys and _of_run(tx, worker, named)


def links(tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """Its run, and models that this logged."""
    return in_run(tx, worker, request) and _of_run(tx, worker, {m.model_id for m in request.models})


def commits(tx: Transaction, worker: WorkerScope, message: Any) -> bool:
    """The tree of its run, or of a model that this logged."""
    return _owns(tx, worker, message.header.owner)


def opens(_tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """A new file of its run, below its prefix; whether one is there already, and what is in it, would be told else."""
    is_new = request.mode == live_artifact_service_pb2.OPEN_MODE_CREATE
    return is_new and request.owner.run_id == worker.run_id and worker.holds(request.path)


def writes_live(tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """A live artifact of its run, below its prefix."""
    live = tx.live.get(request.live_id)
    return live is not None and live.owner.id == worker.run_id and worker.holds(live.path)


def creates_model(tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """A model that its run logs."""
    known = tx.access.run_of_model(request.model_id) if request.model_id else None
    return request.source_run_id == worker.run_id and not request.experiment_id and known in {None, worker.run_id}


def fills_model(tx: Transaction, worker: WorkerScope, request: Any) -> bool:
    """A model that its run logged; tags are not removed, as in its run."""
    return _of_run(tx, worker, [request.model_id]) and not getattr(request, "deleted_tag_keys", ())


def _owns(tx: Transaction, worker: WorkerScope, owner: Any) -> bool:
    if owner.WhichOneof("owner") == "model_id":
        return _of_run(tx, worker, [owner.model_id])
    return bool(owner.run_id == worker.run_id)


def _of_run(tx: Transaction, worker: WorkerScope, model_ids: Iterable[str]) -> bool:
    return all(tx.access.run_of_model(model_id) == worker.run_id for model_id in model_ids)


def told_run(run: run_pb2.Run) -> run_pb2.Run:
    """A run as the current caller is answered it: a worker gets its ids and status and nothing that others gave it."""
    if current_caller().worker is None:
        return run
    return run_pb2.Run(
        run_id=run.run_id, experiment_id=run.experiment_id, status=run.status, lifecycle_stage=run.lifecycle_stage
    )


def told_model(model: model_pb2.LoggedModel) -> model_pb2.LoggedModel:
    """A logged model likewise."""
    if current_caller().worker is None:
        return model
    kept = ("model_id", "experiment_id", "name", "status", "source_run_id", "lifecycle_stage")
    return model_pb2.LoggedModel(**{name: getattr(model, name) for name in kept})
