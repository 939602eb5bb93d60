"""Charts of metrics between messages and domain values."""

from __future__ import annotations

from holdfast.v1 import metric_chart_pb2 as pb
from holdfast.v1 import run_service_pb2 as service_pb
from holdfast_server.domain.metric_chart import MAX_STEP, MIN_STEP, MetricBucket, StepRange
from holdfast_server.rpc.convert.times import ms_from_proto, ms_to_proto


def steps_from_proto(request: service_pb.GetMetricChartRequest | service_pb.ListMetricHistoryRequest) -> StepRange:
    """The steps that a request is about; an end that is absent is open.

    Raises:
        InvalidArgument: No step lies between them.
    """
    return StepRange(
        request.min_step if request.HasField("min_step") else MIN_STEP,
        request.max_step if request.HasField("max_step") else MAX_STEP,
    )


def bucket_to_proto(bucket: MetricBucket) -> pb.MetricBucket:
    """A bucket as a message."""
    return pb.MetricBucket(
        first_step=bucket.first_step,
        last_step=bucket.last_step,
        point_count=bucket.points,
        nan_count=bucket.nans,
        minimum=bucket.minimum,
        maximum=bucket.maximum,
        last_value=bucket.last_value,
        last_time=ms_to_proto(bucket.last_time),
    )


def bucket_from_proto(message: pb.MetricBucket) -> MetricBucket:
    """A bucket from a message that this server made."""
    return MetricBucket(
        points=message.point_count,
        nans=message.nan_count,
        minimum=message.minimum if message.HasField("minimum") else None,
        maximum=message.maximum if message.HasField("maximum") else None,
        first_step=message.first_step,
        last_step=message.last_step,
        last_time=ms_from_proto(message.last_time, field="last_time"),
        last_value=message.last_value,
    )
