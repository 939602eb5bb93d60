"""What runs logged, as columns."""

from __future__ import annotations

from holdfast.v1 import run_columns_pb2 as pb
from holdfast_server.domain.run import RunData


def write_columns(message: pb.RunColumns, data: RunData) -> None:
    """Fill an empty message."""
    if data.params:
        keys, values = zip(*data.params, strict=True)
        message.param_keys.extend(keys)
        message.param_values.extend(values)
    if data.tags:
        keys, values = zip(*data.tags, strict=True)
        message.tag_keys.extend(keys)
        message.tag_values.extend(values)
    if data.metrics:
        keys, numbers, times, steps, *names, _ = zip(*data.metrics, strict=True)
        message.metric_keys.extend(keys)
        message.metric_values.extend(numbers)
        message.metric_times_ms.extend(times)
        message.metric_steps.extend(steps)
        columns = (message.metric_model_ids, message.metric_dataset_names, message.metric_dataset_digests)
        for column, texts in zip(columns, names, strict=True):
            if any(texts):
                column.extend(texts)
