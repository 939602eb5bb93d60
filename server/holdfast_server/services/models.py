"""Use cases of logged models: plain functions over a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast_server.domain.event import Change, EventType
from holdfast_server.domain.experiment import Lifecycle, Tag, TagChanges
from holdfast_server.domain.model import MAX_MODEL_TYPE, MAX_STATUS_MESSAGE, ModelInfo, ModelStatus
from holdfast_server.domain.names import check_length, check_logged_model_name, check_model_id, named_model, named_run
from holdfast_server.domain.run import Param
from holdfast_server.domain.run_names import make_name
from holdfast_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Reason
from holdfast_server.services.changes import clear_principal, model_changed, param_changes, tag_changes
from holdfast_server.services.experiments import get_active_experiment
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.run_logging import new_params
from holdfast_server.services.runs import get_active_run


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """What a caller says of a logged model to create; empty texts are filled in.

    ``principal`` is who logs it. With ``origin_unknown`` that is nobody, whoever began a model of this id before.
    """

    experiment_id: str = ""
    name: str = ""
    source_run_id: str = ""
    model_type: str = ""
    params: tuple[Param, ...] = ()
    tags: tuple[Tag, ...] = ()
    model_id: str = ""
    principal: str = ""
    origin_unknown: bool = False

    def __post_init__(self) -> None:
        if self.model_id:
            check_model_id(self.model_id)
        if self.name:
            check_logged_model_name(self.name)
        if self.source_run_id:
            named_run(self.source_run_id)
        check_length(self.model_type, MAX_MODEL_TYPE, what="The model type", field="model_type")


def create_model(tx: Transaction, new: NewModel) -> ModelInfo:
    """Begin a logged model, PENDING. With an id that exists for the same run, that model is returned as it is.

    Raises:
        NotFound: EXPERIMENT_NOT_FOUND or RUN_NOT_FOUND.
        FailedPrecondition: DELETED, the experiment or run is deleted.
        AlreadyExists: The id belongs to a model of another experiment, run or name.
    """
    if new.model_id:
        known = tx.models.get(new.model_id)
        if known is not None:
            return _begun(tx, _check_same(known, new), new)
    experiment_id = new.experiment_id
    if new.source_run_id:
        run = get_active_run(tx, new.source_run_id)
        experiment_id = experiment_id or str(run.experiment_id)
    experiment = get_active_experiment(tx, experiment_id or "0")
    model_id = new.model_id or f"m-{tx.ids.new_id()}"
    created = tx.models.create(
        model_id=model_id,
        experiment_id=experiment.id,
        name=new.name or make_name(model_id),
        source_run_id=new.source_run_id,
        model_type=new.model_type,
        params=new.params,
        tags=new.tags,
        principal=new.principal,
        now_ms=tx.now_ms,
    )
    described = [Change("name", None, created.name), Change("status", None, created.status.value)]
    model_changed(tx, created, EventType.CREATED, described)
    return created


def get_model(tx: Transaction, model_id: str) -> ModelInfo:
    """Read a logged model, deleted or not.

    Raises:
        NotFound: MODEL_NOT_FOUND.
    """
    model = tx.models.get(named_model(model_id))
    if model is None:
        raise NotFound(
            f"There is no logged model {model_id}.", reason=Reason.MODEL_NOT_FOUND, metadata={"model_id": model_id}
        )
    return model


def get_visible_model(tx: Transaction, model_id: str) -> ModelInfo:
    """Read a logged model that is not deleted.

    Raises:
        NotFound: MODEL_NOT_FOUND.
    """
    model = get_model(tx, model_id)
    if not model.is_active:
        raise NotFound(
            f"Logged model {model_id} is deleted; restore it to read it.",
            reason=Reason.MODEL_NOT_FOUND,
            metadata={"model_id": model_id},
        )
    return model


def get_active_model(tx: Transaction, model_id: str) -> ModelInfo:
    """Read a logged model that can be changed.

    Raises:
        NotFound: MODEL_NOT_FOUND.
        FailedPrecondition: DELETED.
    """
    model = get_model(tx, model_id)
    if not model.is_active:
        raise FailedPrecondition(
            f"Logged model {model_id} is deleted; restore it first.",
            reason=Reason.DELETED,
            metadata={"model_id": model_id},
        )
    return model


def finalize_model(tx: Transaction, model_id: str, status: ModelStatus, message: str) -> ModelInfo:
    """End writing with READY or FAILED; the same status again changes nothing.

    Raises:
        FailedPrecondition: MODEL_FINALIZED, it is final with the other status.
    """
    if status is ModelStatus.PENDING:
        raise InvalidArgument("A model is finalized as READY or FAILED.", field="status")
    check_length(message, MAX_STATUS_MESSAGE, what="The status message", field="status_message")
    model = get_active_model(tx, model_id)
    if model.status is status:
        return model
    if model.status is not ModelStatus.PENDING:
        raise FailedPrecondition(
            f"Logged model {model_id} is {model.status.value} for good and cannot become {status.value}."
            " Log a new model instead.",
            reason=Reason.MODEL_FINALIZED,
            metadata={"model_id": model_id, "status": model.status.value},
        )
    tx.models.set_status(model.number, status, message, now_ms=tx.now_ms)
    model_changed(tx, model, EventType.UPDATED, [Change("status", model.status.value, status.value)])
    return get_model(tx, model_id)


def update_model(tx: Transaction, model_id: str, params: Sequence[Param], changes: TagChanges) -> None:
    """Add params and change tags, of finalized models too: only artifacts are final.

    Raises:
        InvalidArgument: PARAM_IMMUTABLE.
        FailedPrecondition: DELETED.
    """
    model = get_active_model(tx, model_id)
    known = tx.models.get_params(model.number, [param.key for param in params])
    added = new_params(f"model {model_id}", params, known)
    tx.models.add_params(model.number, added)
    tx.models.change_tags(model.number, changes)
    tx.models.touch(model.number, now_ms=tx.now_ms)
    changed = [*param_changes(added), *tag_changes(changes)]
    if changed:
        model_changed(tx, model, EventType.UPDATED, changed)


def delete_model(tx: Transaction, model_id: str) -> None:
    """Mark a logged model as deleted; one that is stays so. Versions registered from it stay."""
    model = get_model(tx, model_id)
    if model.is_active:
        tx.models.set_lifecycle(model.number, Lifecycle.DELETED, now_ms=tx.now_ms)
        model_changed(tx, model, EventType.DELETED)


def restore_model(tx: Transaction, model_id: str) -> None:
    """Undo ``delete_model``; one that is active stays so."""
    model = get_model(tx, model_id)
    if not model.is_active:
        tx.models.set_lifecycle(model.number, Lifecycle.ACTIVE, now_ms=tx.now_ms)
        model_changed(tx, model, EventType.RESTORED)


def _begun(tx: Transaction, model: ModelInfo, new: NewModel) -> ModelInfo:
    """A model that is there already, as the request for it wants it. What is final was written by who logged it."""
    if new.origin_unknown and model.principal and model.status is ModelStatus.PENDING:
        clear_principal(tx, model)
        return get_model(tx, model.id)
    return model


def _check_same(model: ModelInfo, new: NewModel) -> ModelInfo:
    """A create request for an id that exists must mean that very model."""
    same_experiment = new.experiment_id in {"", str(model.experiment_id)}
    if same_experiment and new.source_run_id == model.source_run_id and new.name in {"", model.name}:
        return model
    raise AlreadyExists(
        f"Logged model {model.id} exists with another experiment, run or name. Choose another id.",
        metadata={"model_id": model.id},
        field="model_id",
    )
