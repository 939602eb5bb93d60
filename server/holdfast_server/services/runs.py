"""Use cases of runs: plain functions over a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast_server.domain.event import Change, EventType
from holdfast_server.domain.experiment import Lifecycle, Tag, TagChanges, TagLimit
from holdfast_server.domain.names import (
    check_count,
    check_run_id,
    check_run_name,
    check_user_id,
    named_model,
    named_run,
    shown,
)
from holdfast_server.domain.run import (
    MAX_DATASET_TAGS,
    MAX_LINKS_PER_REQUEST,
    RUN_NAME_TAG,
    DatasetInput,
    ModelOutput,
    RunData,
    RunInfo,
    RunStatus,
)
from holdfast_server.domain.run_names import make_name
from holdfast_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Reason
from holdfast_server.services.changes import differences, note_activity, run_changed
from holdfast_server.services.experiments import get_active_experiment, get_experiment
from holdfast_server.services.ports.database import Transaction

# How long a worker's token is good after its run ended: for an answer that was lost, which is asked for again.
WORKERS_OUTLIVE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a caller says of a run to create; empty texts and None are filled in."""

    experiment_id: str = "0"
    name: str = ""
    user_id: str = ""
    start_time: int | None = None
    tags: tuple[Tag, ...] = ()
    run_id: str = ""

    def __post_init__(self) -> None:
        if self.run_id:
            check_run_id(self.run_id)
        if self.name:
            check_run_name(self.name)
        check_user_id(self.user_id)
        tagged = next((tag.value for tag in self.tags if tag.key == RUN_NAME_TAG), "")
        if tagged:
            check_run_name(tagged, field="tags")
        if self.name and tagged and self.name != tagged:
            raise InvalidArgument(
                f"The run name {shown(self.name)} and the tag {RUN_NAME_TAG} {shown(tagged)} differ; they are one name."
                " Give only one of them.",
                field="run_name",
            )

    @property
    def given_name(self) -> str:
        """The name from either place; empty when there is none."""
        return self.name or next((tag.value for tag in self.tags if tag.key == RUN_NAME_TAG), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """What a caller wants to change of a run; None leaves it as it is."""

    name: str | None = None
    status: RunStatus | None = None
    end_time: int | None = None
    lost: bool | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_run_name(self.name)
        if self.status is RunStatus.RUNNING and self.end_time is not None:
            raise InvalidArgument("A run that is RUNNING has no end time; leave it out.", field="end_time")


def create_run(tx: Transaction, new: NewRun) -> tuple[RunInfo, RunData | None]:
    """Start a run. With an id that exists in the same experiment, the run of that id is returned as it is.

    Returns what a new run has as well, which are its tags, in order; None for one that is there, which may have more.

    Raises:
        NotFound: EXPERIMENT_NOT_FOUND.
        FailedPrecondition: DELETED, the experiment is deleted.
        AlreadyExists: The id belongs to a run of another experiment, user or start.
    """
    if new.run_id:
        known = tx.runs.get(new.run_id)
        if known is not None:
            return _check_same(known, new), None
    experiment = get_active_experiment(tx, new.experiment_id)
    run_id = new.run_id or tx.ids.new_id()
    name = new.given_name or make_name(run_id)
    tags = tuple(sorted({tag.key: tag for tag in (*new.tags, Tag(RUN_NAME_TAG, name))}.values()))
    created = tx.runs.create(
        run_id=run_id,
        experiment_id=experiment.id,
        name=name,
        user_id=new.user_id,
        status=RunStatus.RUNNING,
        start_time=tx.now_ms if new.start_time is None else new.start_time,
        tags=tags,
    )
    run_changed(tx, created, EventType.CREATED, differences({}, _described(created)))
    return created, RunData(tags=tags)


def get_run(tx: Transaction, run_id: str) -> RunInfo:
    """Read a run, deleted or not.

    Raises:
        NotFound: RUN_NOT_FOUND.
    """
    run = tx.runs.get(named_run(run_id))
    if run is None:
        raise NotFound(f"There is no run {run_id}.", reason=Reason.RUN_NOT_FOUND, metadata={"run_id": run_id})
    return run


def get_active_run(tx: Transaction, run_id: str) -> RunInfo:
    """Read a run that can be written, finished or not.

    Raises:
        NotFound: RUN_NOT_FOUND.
        FailedPrecondition: DELETED.
    """
    run = get_run(tx, run_id)
    if not run.is_active:
        raise FailedPrecondition(
            f"Run {run_id} is deleted; restore it first.", reason=Reason.DELETED, metadata={"run_id": run_id}
        )
    return run


def update_run(tx: Transaction, run_id: str, changes: RunChanges) -> RunInfo:
    """Change name, status or end of an active run. RUNNING clears the end; a name is also the tag mlflow.runName."""
    run = get_active_run(tx, run_id)
    status = changes.status or run.status
    if changes.status is RunStatus.RUNNING:
        end_time = None
    else:
        end_time = run.end_time if changes.end_time is None else changes.end_time
    name = run.name if changes.name is None else changes.name
    tx.runs.update(run.number, name=name, status=status, end_time=end_time)
    if name != run.name:
        tx.runs.set_tags(run.number, [Tag(RUN_NAME_TAG, name)])
    if changes.lost and status is not RunStatus.RUNNING:
        raise InvalidArgument(f"Run {run_id} is {status.value}; only one that is RUNNING can be lost.", field="lost")
    if status is not RunStatus.RUNNING or changes.lost is False:
        tx.run_leases.release(run.number)
        if status is not RunStatus.RUNNING:
            tx.access.end_workers(run_id, WORKERS_OUTLIVE_MS)
    elif changes.lost:
        tx.run_leases.set_lost(run.number)
    updated = get_run(tx, run_id)
    changed = differences(_described(run), _described(updated))
    if changed:
        run_changed(tx, updated, EventType.UPDATED, changed)
    if updated.lost != run.lost and status is RunStatus.RUNNING:
        run_changed(tx, updated, EventType.LOST if updated.lost else EventType.RETURNED)
    return updated


def delete_run(tx: Transaction, run_id: str) -> None:
    """Mark a run as deleted; one that is stays so."""
    run = get_run(tx, run_id)
    if run.is_active:
        tx.runs.set_lifecycle(run.number, Lifecycle.DELETED, now_ms=tx.now_ms)
        tx.access.end_workers(run_id, WORKERS_OUTLIVE_MS)
        run_changed(tx, run, EventType.DELETED)


def restore_run(tx: Transaction, run_id: str) -> None:
    """Undo ``delete_run``; one that is active stays so.

    Raises:
        FailedPrecondition: DELETED, its experiment is deleted.
    """
    run = get_run(tx, run_id)
    if run.is_active:
        return
    experiment = get_experiment(tx, str(run.experiment_id))
    if not experiment.is_active:
        raise FailedPrecondition(
            f"Experiment {experiment.id} of run {run_id} is deleted; restore the experiment first.",
            reason=Reason.DELETED,
            metadata={"run_id": run_id, "experiment_id": str(experiment.id)},
        )
    tx.runs.set_lifecycle(run.number, Lifecycle.ACTIVE, now_ms=tx.now_ms)
    run_changed(tx, run, EventType.RESTORED)


def log_inputs(tx: Transaction, run_id: str, datasets: Sequence[DatasetInput], model_ids: Sequence[str]) -> None:
    """Link datasets and models that a run read.

    Raises:
        NotFound: RUN_NOT_FOUND or MODEL_NOT_FOUND.
        InvalidArgument: LIMIT_EXCEEDED.
    """
    check_count(len(datasets), MAX_LINKS_PER_REQUEST, what="dataset inputs", field="datasets")
    check_count(len(model_ids), MAX_LINKS_PER_REQUEST, what="model inputs", field="models")
    run = get_active_run(tx, run_id)
    check_models_exist(tx, model_ids)
    most_tags = tx.runs.add_dataset_inputs(run, datasets)
    check_count(most_tags, MAX_DATASET_TAGS, what="tags of one dataset input", field="datasets.tags")
    tx.runs.add_model_inputs(run.number, model_ids)
    note_activity(tx, run)
    inputs = [Change("dataset_inputs", None, f"{item.dataset.name} {item.dataset.digest}") for item in datasets]
    links = [*inputs, *(Change("model_inputs", None, model_id) for model_id in model_ids)]
    if links:
        run_changed(tx, run, EventType.UPDATED, links)


def log_outputs(tx: Transaction, run_id: str, outputs: Sequence[ModelOutput]) -> None:
    """Link models that a run produced.

    Raises:
        NotFound: RUN_NOT_FOUND or MODEL_NOT_FOUND.
        InvalidArgument: LIMIT_EXCEEDED.
    """
    check_count(len(outputs), MAX_LINKS_PER_REQUEST, what="model outputs", field="models")
    run = get_active_run(tx, run_id)
    check_models_exist(tx, [output.model_id for output in outputs])
    tx.runs.add_model_outputs(run.number, outputs)
    note_activity(tx, run)
    if outputs:
        changes = [Change("model_outputs", None, output.model_id) for output in outputs]
        run_changed(tx, run, EventType.UPDATED, changes)


def parse_run_tags(tags: Iterable[tuple[str, str]], deleted_keys: Iterable[str] = ()) -> TagChanges:
    """Changes to a run's tags.

    Raises:
        InvalidArgument: A tag breaks its rule, or the run's name would go or be empty.
    """
    changes = TagChanges.parse(tags, deleted_keys, TagLimit.RUN)
    if RUN_NAME_TAG in changes.deleted_keys:
        raise InvalidArgument(
            f"The tag {RUN_NAME_TAG} is the run's name and cannot be removed; set another name instead.",
            field="deleted_tag_keys",
        )
    for tag in changes.tags:
        if tag.key == RUN_NAME_TAG:
            check_run_name(tag.value, field="tags")
    return changes


def check_models_exist(tx: Transaction, model_ids: Iterable[str]) -> dict[str, int]:
    """The numbers of logged models, deleted ones included.

    Raises:
        NotFound: MODEL_NOT_FOUND.
    """
    wanted = dict.fromkeys(model_ids)
    if not wanted:
        return {}
    for model_id in wanted:
        named_model(model_id)
    numbers = tx.models.get_numbers(wanted)
    for model_id in wanted:
        if model_id not in numbers:
            raise NotFound(
                f"There is no logged model {model_id}.", reason=Reason.MODEL_NOT_FOUND, metadata={"model_id": model_id}
            )
    return numbers


def _described(run: RunInfo) -> dict[str, str | None]:
    """What of a run itself can change."""
    end_time = None if run.end_time is None else str(run.end_time)
    return {"name": run.name, "status": run.status.value, "end_time": end_time}


def _check_same(run: RunInfo, new: NewRun) -> RunInfo:
    """A create request for an id that exists must mean that very run."""
    same_start = new.start_time is None or new.start_time == run.start_time
    if str(run.experiment_id) == new.experiment_id and run.user_id == new.user_id and same_start:
        return run
    raise AlreadyExists(
        f"Run {run.id} exists, in another experiment or with another user or start. Choose another id.",
        metadata={"run_id": run.id},
        field="run_id",
    )
