"""Points of metrics: the source's, in the order in which they arrived there, are one stream at the target."""

from __future__ import annotations

from holdfast._calls import MAX_BATCH_METRICS, batches
from holdfast._store_sync.context import HasModel, StoreSync
from holdfast.errors import ConflictError
from holdfast.v1 import run_service_pb2 as messages


def sync_points(sync: StoreSync, run_id: str, sent: int, has_model: HasModel, *, is_there: bool) -> int:
    """Send the points that are not at the target; returns how many the run has at the source.

    The target keeps how far it has the stream, without end; that is what counts, and not ``sent``.

    Args:
        sync: What goes on.
        run_id: The run.
        sent: How many have arrived, at least.
        has_model: Makes sure that the target has a model of the source. Points of one that is gone for good are points
            of the run alone there.
        is_there: Whether the target has the run.

    Raises:
        ConflictError: The source has fewer points than came from it.
    """
    page = _page(sync, run_id, sent)
    if page.point_count == sent:
        return sent
    mark = _mark(sync, run_id) if is_there else 0
    if mark < sent:
        raise ConflictError(
            f"Run {run_id} at the server says that {sent} points of it came from this store, and {mark} did: the run "
            "was copied there, or its tags that begin with 'holdfast.sync' were. No point was sent."
        )
    if max(mark, sent) > page.point_count:
        raise ConflictError(
            f"{max(mark, sent)} points of run {run_id} came from this store, which has {page.point_count} now: it was "
            "put back to an earlier state, or is another copy of the store that they came from. None was sent."
        )
    if mark != sent:
        page = _page(sync, run_id, mark)
    while page.metrics:
        mark = _send(sync, run_id, mark, page, has_model)
        page = _page(sync, run_id, mark)
    return mark


def _page(sync: StoreSync, run_id: str, first: int) -> messages.ListMetricPointsResponse:
    request = messages.ListMetricPointsRequest(run_id=run_id, start_position=first)
    page: messages.ListMetricPointsResponse = sync.source.call(sync.source.runs.ListMetricPoints, request)
    return page


def _mark(sync: StoreSync, run_id: str) -> int:
    """How far the target has the stream."""
    request = messages.LogBatchRequest(run_id=run_id, writer_id=_writer(sync))
    return int(sync.target.call(sync.target.runs.LogBatch, request).next_writer_sequence)


def _send(
    sync: StoreSync, run_id: str, first: int, page: messages.ListMetricPointsResponse, has_model: HasModel
) -> int:
    """Send a page; returns the position behind it."""
    for metric in page.metrics:
        if metric.model_id and not has_model(metric.model_id):
            metric.model_id = ""
    if sync.is_dry_run:
        sync.tally.points += len(page.metrics)
        return first + len(page.metrics)
    for part in batches(page.metrics, MAX_BATCH_METRICS):
        request = messages.LogBatchRequest(run_id=run_id, metrics=part, writer_id=_writer(sync), writer_sequence=first)
        answer = sync.target.call(sync.target.runs.LogBatch, request)
        first += len(part)
        sync.tally.points += answer.new_metric_count  # another sync, at the same time, may have sent some
        sync.progress.advance(request.ByteSize())
    return first


def _writer(sync: StoreSync) -> str:
    return f"sync-{sync.store_id}"
