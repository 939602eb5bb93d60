"""Points in columns, and servers that do not know of them: these pass over the points and say that all went well.

What tells is how far such a server has the stream. What it passed over is then sent as messages, one for each point,
and so is everything after it on that connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import repeat

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast._channel import Channel
from holdfast._times import ms_to_proto
from holdfast.errors import FailedPreconditionError
from holdfast.v1 import metric_columns_pb2, run_pb2
from holdfast.v1 import run_service_pb2 as messages

logger = logging.getLogger(__name__)


def log_batch(
    channel: Channel,
    request: messages.LogBatchRequest,
    call: Callable[[messages.LogBatchRequest], messages.LogBatchResponse],
) -> messages.LogBatchResponse:
    """Make a call whose points are kept, whether or not the server knows of columns.

    Args:
        channel: The connection.
        request: With a writer id, if it has points.
        call: Makes it once.

    Raises:
        FailedPreconditionError: The server did not keep them either way.
    """
    request = as_taken(channel, request)
    response = call(request)
    rest = passed_over(channel, request, response)
    if rest is not None:
        response = call(rest)
        passed_over(channel, rest, response)
    return response


def as_taken(channel: Channel, request: messages.LogBatchRequest) -> messages.LogBatchRequest:
    """A request as the server at the other end takes it, as far as that is known."""
    if channel.takes_columns or not request.metric_columns.values:
        return request
    taken = messages.LogBatchRequest()
    taken.CopyFrom(request)
    taken.ClearField("metric_columns")
    taken.metrics.extend(_points(request.metric_columns))
    if taken.request_id:
        # It may have been here as it was, and another request must not come under the same id.
        taken.request_id += "-points"
    return taken


def passed_over(
    channel: Channel, request: messages.LogBatchRequest, response: messages.LogBatchResponse
) -> messages.LogBatchRequest | None:
    """What is to be sent once more, since the server did not keep it; None when it kept all.

    Raises:
        FailedPreconditionError: It did not keep what it should know.
    """
    count = len(request.metrics) + len(request.metric_columns.values)
    if not count or not request.writer_id or response.next_writer_sequence >= request.writer_sequence + count:
        return None
    if not request.metric_columns.values:
        raise FailedPreconditionError(
            f"{channel.target.uri} said that all went well and did not keep {count} points of run {request.run_id}: it "
            f"has {response.next_writer_sequence} of stream {request.writer_id}, in place of "
            f"{request.writer_sequence + count}. Check what answers there, and its version."
        )
    if channel.takes_columns:
        logger.warning(
            "%s runs a version of Holdfast older than this client's; metrics are sent there in a slower way.",
            channel.target.uri,
        )
        channel.takes_columns = False
    # The rest of the request was done. The stream's positions see to it that points are kept once.
    return messages.LogBatchRequest(
        run_id=request.run_id,
        metrics=[*request.metrics, *_points(request.metric_columns)],
        writer_id=request.writer_id,
        writer_sequence=request.writer_sequence,
    )


def _points(columns: metric_columns_pb2.MetricColumns) -> Iterator[run_pb2.Metric]:
    count = len(columns.values)
    positions = columns.series_positions or repeat(0, count)
    steps = columns.steps or repeat(0, count)
    times: list[Timestamp | None] = [ms_to_proto(ms) for ms in columns.times_ms] or [None] * count
    for position, value, step, time in zip(positions, columns.values, steps, times, strict=True):
        series = columns.series[position]
        yield run_pb2.Metric(
            key=series.key,
            value=value,
            timestamp=time,
            step=step,
            model_id=series.model_id,
            dataset_name=series.dataset_name,
            dataset_digest=series.dataset_digest,
        )
