"""What a run logs in one batch: metrics, params and tags, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast_server.domain.event import Change, EventType
from holdfast_server.domain.experiment import TagChanges
from holdfast_server.domain.names import shown
from holdfast_server.domain.run import RUN_NAME_TAG, Batch, Metric, Param, RunInfo
from holdfast_server.errors import Conflict, InvalidArgument, NotFound, Reason
from holdfast_server.services.callers import current_caller
from holdfast_server.services.changes import metrics_logged, note_activity, param_changes, run_changed, tag_changes
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.runs import check_models_exist, get_active_run


class Kept(NamedTuple):
    """What was kept of a batch.

    Attributes:
        mark: Position after the last metric kept of its writer; 0 without one.
        metric_count: How many of its metrics were not passed over.
    """

    mark: int
    metric_count: int


def log_batch(tx: Transaction, run_id: str, batch: Batch) -> Kept:
    """Keep a batch.

    Metrics at positions before the writer's mark are passed over: they came before. A writer sends its batches in
    order.

    Raises:
        NotFound: RUN_NOT_FOUND, MODEL_NOT_FOUND, or TAG_NOT_FOUND for a key to remove.
        FailedPrecondition: DELETED.
        Conflict: Metrics before this batch are missing; the metadata says where to go on.
        InvalidArgument: PARAM_IMMUTABLE, a param has another value already.
    """
    run = get_active_run(tx, run_id)
    note_activity(tx, run)
    changed = [*param_changes(_add_params(tx, run, batch.params)), *_change_tags(tx, run, batch)]
    if changed:
        run_changed(tx, run, EventType.UPDATED, changed)
    metrics, mark = _new_metrics(tx, run, batch)
    numbers = check_models_exist(tx, (m.model_id for m in metrics if m.model_id))
    newest = tx.runs.add_metrics(run.number, metrics, numbers)
    if metrics:
        metrics_logged(tx, run, metrics, newest)
    return Kept(mark, len(metrics))


def new_params(owner: str, params: Sequence[Param], known: dict[str, str]) -> list[Param]:
    """Those params that are not there yet.

    Raises:
        InvalidArgument: PARAM_IMMUTABLE, naming both values.
    """
    for param in params:
        old = known.get(param.key, param.value)
        if old != param.value and current_caller().worker is not None:  # who reads nothing is not told what it is
            raise InvalidArgument(
                f"Param {shown(param.key)} of {owner} has another value, and params never change.",
                reason=Reason.PARAM_IMMUTABLE,
                metadata={"key": param.key},
                field="params",
            )
        if old != param.value:
            raise InvalidArgument(
                f"Param {shown(param.key)} of {owner} is {shown(old)} and cannot become {shown(param.value)}:"
                " params never change. Log the new value under another key, or in a new run.",
                reason=Reason.PARAM_IMMUTABLE,
                metadata={"key": param.key, "old_value": old[:200], "new_value": param.value[:200]},
                field="params",
            )
    return [param for param in params if param.key not in known]


def _add_params(tx: Transaction, run: RunInfo, params: Sequence[Param]) -> list[Param]:
    if not params:
        return []
    known = tx.runs.get_params(run.number, [param.key for param in params])
    added = new_params(f"run {run.id}", params, known)
    tx.runs.add_params(run.number, added)
    return added


def _change_tags(tx: Transaction, run: RunInfo, batch: Batch) -> list[Change]:
    missing = tx.runs.delete_tags(run.number, batch.deleted_tag_keys)
    if missing:
        raise NotFound(
            f"Run {run.id} has no tag {shown(missing[0])} to remove.",
            reason=Reason.TAG_NOT_FOUND,
            metadata={"run_id": run.id, "key": missing[0]},
        )
    tx.runs.set_tags(run.number, batch.tags)
    changed = tag_changes(TagChanges(batch.tags, batch.deleted_tag_keys))
    for tag in batch.tags:
        if tag.key == RUN_NAME_TAG and tag.value != run.name:
            tx.runs.update(run.number, name=tag.value, status=run.status, end_time=run.end_time)
            changed.append(Change("name", run.name, tag.value))
    return changed


def _new_metrics(tx: Transaction, run: RunInfo, batch: Batch) -> tuple[Sequence[Metric], int]:
    if not batch.writer_id:
        return batch.metrics, 0
    mark = tx.runs.writer_mark(run.number, batch.writer_id)
    if batch.writer_sequence > mark:
        # Accepting it would move the mark past metrics that are still under way, and drop them when they arrive.
        raise Conflict(
            f"Writer {shown(batch.writer_id)} sent position {batch.writer_sequence} of its stream for run {run.id}, but"
            f" only positions below {mark} are here. Go on from {mark}.",
            metadata={"next_writer_sequence": str(mark)},
        )
    metrics = batch.metrics[max(0, mark - batch.writer_sequence) :]
    if metrics:
        mark = batch.writer_sequence + len(batch.metrics)
        tx.runs.set_writer_mark(run.number, batch.writer_id, mark)
    return metrics, mark
