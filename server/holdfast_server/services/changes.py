"""Says what changed, in the transaction that changes it; those who watch are told when it is durable.

Every use case that changes something calls one of these; ``tests/rpc/test_events.py`` fails for an RPC that does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast_server.domain.artifacts import Owner, Tree
from holdfast_server.domain.event import Change, Event, EventType, Subject, bounded, summarized
from holdfast_server.domain.experiment import Experiment, TagChanges
from holdfast_server.domain.model import ModelInfo
from holdfast_server.domain.run import Metric, Param, RunInfo
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.ports.upkeep import Purged


def experiment_changed(
    tx: Transaction, experiment: Experiment, type_: EventType, changes: Iterable[Change] = ()
) -> None:
    """Record an event of an experiment."""
    number = experiment.id
    _append(tx, changes, subject=Subject.EXPERIMENT, type=type_, number=number, id=str(number), experiment_id=number)


def run_changed(tx: Transaction, run: RunInfo, type_: EventType, changes: Iterable[Change] = ()) -> None:
    """Record an event of a run."""
    _append(tx, changes, subject=Subject.RUN, type=type_, number=run.number, id=run.id, experiment_id=run.experiment_id)


def metrics_logged(tx: Transaction, run: RunInfo, metrics: Sequence[Metric], newest: Mapping[str, Metric]) -> None:
    """Record one event for the metrics of a batch, of which ``newest`` are the newest of each key."""
    listed, truncated = summarized(metrics, newest)
    tx.events.append(
        Event(
            subject=Subject.RUN,
            type=EventType.METRICS,
            number=run.number,
            id=run.id,
            experiment_id=run.experiment_id,
            metrics=listed,
            truncated=truncated,
            principal=current_caller().principal,
        )
    )


def model_changed(tx: Transaction, model: ModelInfo, type_: EventType, changes: Iterable[Change] = ()) -> None:
    """Record an event of a logged model."""
    _append(
        tx,
        changes,
        subject=Subject.LOGGED_MODEL,
        type=type_,
        number=model.number,
        id=model.id,
        experiment_id=model.experiment_id,
    )


def note_purged(tx: Transaction, purged: Purged) -> None:
    """Record that a run or logged model is gone for good."""
    subject = Subject.RUN if purged.is_run else Subject.LOGGED_MODEL
    fields = {"number": purged.number, "id": purged.id, "experiment_id": purged.experiment_id}
    _append(tx, (), subject=subject, type=EventType.PURGED, **fields)


def note_activity(tx: Transaction, run: RunInfo) -> None:
    """Take a write as a sign of life of a run that was lost; of a copy, whose client is elsewhere, it is none."""
    if run.lost and tx.run_leases.renew(run.number):
        run_changed(tx, run, EventType.RETURNED)


def disown(tx: Transaction, owner: Owner) -> None:
    """Let a model count as nobody's own once the current caller, not being who began it, writes to its files.

    Clients unpickle what their own principal logged, and whoever may write the experiment may write a PENDING model.
    """
    model = tx.models.get(owner.id) if owner.is_model else None
    if model is not None and model.principal not in {"", current_caller().principal}:
        clear_principal(tx, model)


def clear_principal(tx: Transaction, model: ModelInfo) -> None:
    """Keep no more who logged a model."""
    tx.models.clear_principal(model.number)
    model_changed(tx, model, EventType.UPDATED, [Change("principal", model.principal, None)])


def seal(tx: Transaction, owner: Owner, commit_id: int) -> Tree:
    """Make a commit of artifacts visible, and record an event of its owner."""
    disown(tx, owner)
    tree = tx.trees.seal(commit_id)
    changes = [Change("artifacts", None, str(tree.sequence))]
    if owner.is_model:
        model = tx.models.get(owner.id)
        if model is not None:
            model_changed(tx, model, EventType.ARTIFACTS, changes)
    else:
        run = tx.runs.get(owner.id)
        if run is not None:
            note_activity(tx, run)
            run_changed(tx, run, EventType.ARTIFACTS, changes)
    return tree


def differences(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> list[Change]:
    """Fields whose value is another one, in the order of ``after``."""
    return [Change(field, before.get(field), value) for field, value in after.items() if before.get(field) != value]


def tag_changes(changes: TagChanges) -> list[Change]:
    """Tags that are set and removed; what they were is not looked up."""
    return [
        *(Change(f"tags.{tag.key}", None, tag.value) for tag in changes.tags),
        *(Change(f"tags.{key}", None, None) for key in changes.deleted_keys),
    ]


def param_changes(params: Iterable[Param]) -> list[Change]:
    """Params that are new."""
    return [Change(f"params.{param.key}", None, param.value) for param in params]


def _append(tx: Transaction, changes: Iterable[Change], **fields: Any) -> None:
    listed, truncated = bounded(changes)
    principal = current_caller().principal
    tx.events.append(Event(changes=listed, truncated=truncated, principal=principal, **fields))
