"""Beginning a run: where it belongs and what its tags say."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast import _active_run, _connection, _leases, _system_metrics
from holdfast._active_run import ActiveRun
from holdfast._checks import check_unicode
from holdfast._connection import current_client
from holdfast._context import NOTE_TAG, PARENT_TAG, RUN_NAME_TAG, context_tags
from holdfast._journal.named import experiment_id_of, is_named
from holdfast._worker_reads import is_worker_refusal
from holdfast.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast.entities import Experiment, Run

EXPERIMENT_NAME_VARIABLE = "HOLDFAST_EXPERIMENT_NAME"
EXPERIMENT_ID_VARIABLE = "HOLDFAST_EXPERIMENT_ID"
RUN_ID_VARIABLE = "HOLDFAST_RUN_ID"
DEFAULT_EXPERIMENT = "0"

_implicit = threading.Lock()


def start_run(  # noqa: PLR0917 - MLflow's own signature
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Begin a run and make it the active one; as a context manager it ends with the block.

    Args:
        run_id: Go on with this run, RUNNING again, instead of a new one. Without it ``HOLDFAST_RUN_ID`` is used once.
        experiment_id: Where a new run belongs; None for the parent's, for what ``set_experiment`` chose, for
            ``HOLDFAST_EXPERIMENT_ID`` or ``HOLDFAST_EXPERIMENT_NAME``, or else Default.
        run_name: None to have one made up.
        nested: Begin it inside the active run.
        parent_run_id: The run that it is nested in, if that is not the active one.
        tags: At most 100, the usual ``mlflow.*`` ones included.
        description: Kept as the tag ``mlflow.note.content``.
        log_system_metrics: Whether the machine is watched until the run ends, logged as ``system/…``; None for what
            ``enable_system_metrics_logging`` or ``HOLDFAST_ENABLE_SYSTEM_METRICS_LOGGING`` says, or else not.

    Raises:
        FailedPreconditionError: A run is active already and ``nested`` is not set; the run is deleted; or system
            metrics are asked for here, and psutil is not installed.
        NotFoundError: ``run_id``, ``parent_run_id`` or the experiment is not there.
    """
    outer = _active_run.active_here()
    # A run that should have ended, had the server been there, must not stand in the way of the next one.
    while outer is not None and _active_run.retry_ending(outer):
        outer = _active_run.active_here()
    if outer is None and nested and parent_run_id is None:
        outer = _active_run.parent_for_nested()
    if outer is not None and not nested:
        raise FailedPreconditionError(
            f"Run {outer.info.run_id} is active already. End it first with holdfast.end_run(), "
            f"or begin this one inside it with nested=True."
        )
    if outer is not None and parent_run_id not in (None, outer.info.run_id):
        raise FailedPreconditionError(
            f"Run {outer.info.run_id} is active, so a nested run cannot begin in {parent_run_id}: "
            f"end the active one first with holdfast.end_run()."
        )
    texts = {"run_id": run_id, "run_name": run_name, "parent_run_id": parent_run_id, "description": description}
    for what, value in texts.items():
        if value is not None:
            check_unicode(value, what)
    sampling = _system_metrics.sampling_wanted(log_system_metrics)
    run_id = run_id or os.environ.pop(RUN_ID_VARIABLE, None)
    client = current_client()
    if run_id is not None:
        run = _resume(
            client, run_id, experiment_id=experiment_id, run_name=run_name, tags=tags, description=description
        )
    else:
        parent = outer if outer is not None or parent_run_id is None else _parent(client, parent_run_id)
        run = _create(
            client, parent, experiment_id=experiment_id, run_name=run_name, tags=tags, description=description
        )
    active = _active_run.begin(_activate(run, client))
    _leases.hold(active.info.run_id, client.channel, taken=run_id is None)
    if sampling is not None:
        _system_metrics.start(active, sampling, resumed=run_id is not None)
    return active


def _resume(
    client: Client,
    run_id: str,
    *,
    experiment_id: str | None,
    run_name: str | None,
    tags: Mapping[str, Any] | None,
    description: str | None,
) -> Run:
    try:
        run = client.get_run(run_id)
    except PermissionDeniedError as error:
        if not is_worker_refusal(error):
            raise
        return _resume_unread(client, run_id, run_name=run_name, tags=tags, description=description)
    if run.info.lifecycle_stage != "active":
        raise FailedPreconditionError(f"Run {run_id} is deleted; restore it first with Client.restore_run.")
    expected = experiment_id or _chosen_experiment(client)
    if expected is not None and str(expected) != run.info.experiment_id:
        raise InvalidArgumentError(
            f"Run {run_id} belongs to experiment {run.info.experiment_id}, not to {expected}, which was asked for."
        )
    client.update_run(run_id, status="RUNNING", name=run_name)
    changed = {**(tags or {}), **({NOTE_TAG: description} if description else {})}
    if changed:
        client.set_tags(run_id, changed)
    return client.get_run(run_id)


def _resume_unread(
    client: Client, run_id: str, *, run_name: str | None, tags: Mapping[str, Any] | None, description: str | None
) -> Run:
    """Go on with a run as a worker, whose token reads nothing: what is returned knows the run's ids and status."""
    run = client._resume_unread(run_id, name=run_name)  # noqa: SLF001 - of use to nobody else
    changed = {**(tags or {}), **({NOTE_TAG: description} if description else {})}
    if changed:
        client.set_tags(run_id, changed)
    return run


def _create(
    client: Client,
    parent: Run | None,
    *,
    experiment_id: str | None,
    run_name: str | None,
    tags: Mapping[str, Any] | None,
    description: str | None,
) -> Run:
    given = dict(tags or {})
    if description:
        if given.get(NOTE_TAG, description) != description:
            raise InvalidArgumentError(f"The description is given twice: as argument, and by the tag {NOTE_TAG}.")
        given[NOTE_TAG] = description
    all_tags = context_tags()
    if parent is not None:
        all_tags[PARENT_TAG] = parent.info.run_id
    all_tags.update(given)
    return client.create_run(
        experiment_id or _experiment_for_new_run(client, parent),
        tags=all_tags,
        run_name=run_name or given.get(RUN_NAME_TAG),
        take_lease=True,
    )


def _parent(client: Client, run_id: str) -> Run:
    parent = client.get_run(run_id)
    if parent.info.lifecycle_stage != "active":
        raise FailedPreconditionError(f"Run {run_id} is deleted, so no run can be nested in it; restore it first.")
    return parent


def _activate(run: Run, client: Client) -> ActiveRun:
    return ActiveRun(info=run.info, data=run.data, inputs=run.inputs, outputs=run.outputs).bind(client)


def require_run() -> ActiveRun:
    """The active run; without one a run begins, which ends when the program does.

    Threads that call this at once begin one run together, not one each.
    """
    run = _active_run.active_run()
    if run is not None:
        return run
    with _implicit:
        return _active_run.active_run() or start_run()


def _experiment_for_new_run(client: Client, parent: Run | None) -> str:
    chosen = _chosen_experiment(client)
    if chosen is not None:
        return chosen
    return parent.info.experiment_id if parent is not None else _experiment_from_environment(client)


def current_experiment_id() -> str:
    """Where new runs belong: what ``set_experiment`` or the environment chose, else Default."""
    client, chosen = current_client(), _connection.chosen_experiment()
    if chosen is not None and is_named(chosen):
        # Chosen in an outage. Who asks for the id needs the server, unlike a run that begins.
        client._settle()  # noqa: SLF001 - what waits may be its creation
        chosen = experiment_id_of(client.channel, chosen, patience=None)
        _connection.choose_experiment(chosen)
    return _chosen_experiment(client) or _experiment_from_environment(client)


def _chosen_experiment(client: Client) -> str | None:
    chosen = _connection.chosen_experiment()
    if chosen is None:
        return None
    known = client._with_id(chosen)  # noqa: SLF001 - it may have been chosen in an outage
    if known != chosen:
        _connection.choose_experiment(known)
    return known


def _experiment_from_environment(client: Client) -> str:
    name, experiment_id = os.environ.get(EXPERIMENT_NAME_VARIABLE), os.environ.get(EXPERIMENT_ID_VARIABLE)
    if not name:
        return experiment_id or DEFAULT_EXPERIMENT
    experiment = get_or_create_experiment(client, name)
    if experiment_id and experiment.experiment_id != experiment_id:
        raise InvalidArgumentError(
            f"{EXPERIMENT_NAME_VARIABLE} names experiment {experiment.experiment_id} and {EXPERIMENT_ID_VARIABLE} "
            f"names {experiment_id}: unset one of them."
        )
    return experiment.experiment_id


def get_or_create_experiment(client: Client, name: str, tags: Mapping[str, Any] | None = None) -> Experiment:
    """The active experiment of this name, created when absent; while the server is away one that has no id yet.

    Raises:
        FailedPreconditionError: It is deleted.
        UnavailableError: The server is away, and the client is strict.
    """
    try:
        experiment = client.get_experiment_by_name(name)
    except UnavailableError as error:
        if client.strict:
            raise
        return client._without_id(name, error)  # noqa: SLF001 - what a client makes of an outage is its own matter
    if experiment is None:
        try:
            return client.get_experiment(client.create_experiment(name, tags=tags))
        except AlreadyExistsError:
            # Another process was faster.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise NotFoundError(f"Experiment {name!r} was created and renamed by others meanwhile.") from None
    if experiment.lifecycle_stage != "active":
        raise FailedPreconditionError(
            f"Experiment {name!r} is deleted: restore it with restore_experiment({experiment.experiment_id!r}), "
            f"or use another name."
        )
    return experiment


def _renew_lock() -> None:
    # Another thread may have held it when this process was forked.
    global _implicit  # noqa: PLW0603
    _implicit = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
