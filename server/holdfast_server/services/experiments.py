"""Use cases of experiments: plain functions over a transaction."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast_server.domain.access import ResourceKind
from holdfast_server.domain.event import Change, EventType
from holdfast_server.domain.experiment import (
    DEFAULT_EXPERIMENT_ID,
    MAX_ARTIFACT_LOCATION,
    Experiment,
    Lifecycle,
    TagChanges,
    TagLimit,
)
from holdfast_server.domain.names import check_experiment_id, check_experiment_name, check_length, shown
from holdfast_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Reason
from holdfast_server.services.access import make_manager
from holdfast_server.services.changes import experiment_changed, tag_changes
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.sizes import check_experiment_size


def create_experiment(
    tx: Transaction, name: str, tags: Iterable[tuple[str, str]], artifact_location: str = ""
) -> Experiment:
    """Create an experiment.

    Raises:
        AlreadyExists: The name is taken, maybe by a deleted one.
        InvalidArgument: Name, tags or location break a rule.
    """
    changes = TagChanges.parse(tags, (), TagLimit.EXPERIMENT)
    check_length(artifact_location, MAX_ARTIFACT_LOCATION, what="The artifact location", field="artifact_location")
    _check_free(tx, check_experiment_name(name))
    experiment = tx.experiments.create(name, changes.tags, artifact_location, now_ms=tx.now_ms)
    check_experiment_size(experiment)
    make_manager(tx, ResourceKind.EXPERIMENT, experiment.id)
    experiment_changed(tx, experiment, EventType.CREATED, [Change("name", None, name), *tag_changes(changes)])
    return experiment


def get_experiment(tx: Transaction, experiment_id: str) -> Experiment:
    """Read one by id, deleted or not.

    Raises:
        NotFound: EXPERIMENT_NOT_FOUND.
    """
    experiment = tx.experiments.get(check_experiment_id(experiment_id))
    if experiment is None:
        raise NotFound(
            f"There is no experiment {experiment_id}.",
            reason=Reason.EXPERIMENT_NOT_FOUND,
            metadata={"experiment_id": experiment_id},
        )
    return experiment


def find_experiment(tx: Transaction, name: str) -> Experiment:
    """Read one by name, deleted or not.

    Raises:
        NotFound: EXPERIMENT_NOT_FOUND.
    """
    experiment = tx.experiments.find(name)
    if experiment is None:
        raise NotFound(
            f"There is no experiment named {shown(name)}.",
            reason=Reason.EXPERIMENT_NOT_FOUND,
            metadata={"name": name[:200]},
        )
    return experiment


def get_active_experiment(tx: Transaction, experiment_id: str) -> Experiment:
    """Read one that can be changed.

    Raises:
        NotFound: EXPERIMENT_NOT_FOUND.
        FailedPrecondition: DELETED.
    """
    experiment = get_experiment(tx, experiment_id)
    if not experiment.is_active:
        raise FailedPrecondition(
            f"Experiment {shown(experiment.name)} (id {experiment.id}) is deleted; restore it first.",
            reason=Reason.DELETED,
            metadata={"experiment_id": experiment_id},
        )
    return experiment


def rename_experiment(tx: Transaction, experiment_id: str, name: str | None) -> Experiment:
    """Give an active experiment another name; None leaves it as it is.

    Raises:
        AlreadyExists: The name is taken.
    """
    experiment = get_active_experiment(tx, experiment_id)
    if name is not None and name != experiment.name:
        _check_free(tx, check_experiment_name(name))
        tx.experiments.rename(experiment.id, name, now_ms=tx.now_ms)
        experiment_changed(tx, experiment, EventType.UPDATED, [Change("name", experiment.name, name)])
    return get_experiment(tx, experiment_id)


def delete_experiment(tx: Transaction, experiment_id: str) -> None:
    """Mark an experiment and its active runs as deleted.

    Raises:
        InvalidArgument: It is Default, which always exists.
        FailedPrecondition: DELETED, it is deleted already.
    """
    experiment = get_active_experiment(tx, experiment_id)
    if experiment.id == DEFAULT_EXPERIMENT_ID:
        raise InvalidArgument(
            "Experiment 0 (Default) always exists and cannot be deleted; delete its runs instead.",
            field="experiment_id",
        )
    tx.experiments.set_lifecycle(experiment.id, Lifecycle.DELETED, now_ms=tx.now_ms)
    tx.runs.delete_all_of(experiment.id, now_ms=tx.now_ms)
    experiment_changed(tx, experiment, EventType.DELETED)


def restore_experiment(tx: Transaction, experiment_id: str) -> None:
    """Undo ``delete_experiment``; one that is active stays as it is. Runs deleted on their own stay deleted."""
    experiment = get_experiment(tx, experiment_id)
    if experiment.is_active:
        return
    tx.experiments.set_lifecycle(experiment.id, Lifecycle.ACTIVE, now_ms=tx.now_ms)
    tx.runs.restore_all_of(experiment.id)
    experiment_changed(tx, experiment, EventType.RESTORED)


def set_experiment_tags(
    tx: Transaction, experiment_id: str, tags: Iterable[tuple[str, str]], deleted_keys: Iterable[str]
) -> None:
    """Set and remove tags of an active experiment; absent keys are passed over."""
    changes = TagChanges.parse(tags, deleted_keys, TagLimit.EXPERIMENT)
    experiment = get_active_experiment(tx, experiment_id)
    tx.experiments.change_tags(experiment.id, changes, now_ms=tx.now_ms)
    if changes.tags or changes.deleted_keys:
        experiment_changed(tx, experiment, EventType.UPDATED, tag_changes(changes))
    check_experiment_size(get_experiment(tx, experiment_id))


def _check_free(tx: Transaction, name: str) -> None:
    taken = tx.experiments.find(name)
    if taken is None:
        return
    way_out = "Choose another name." if taken.is_active else "That one is deleted; restore it or choose another name."
    raise AlreadyExists(
        f"An experiment named {shown(name)} exists (id {taken.id}). {way_out}",
        metadata={"experiment_id": str(taken.id), "lifecycle_stage": taken.lifecycle.value},
        field="name",
    )
