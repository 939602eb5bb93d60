"""Runs between messages and domain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service_pb
from holdfast_server.domain.experiment import TagChanges, TagLimit
from holdfast_server.domain.names import check_count, check_writer_id, named_model
from holdfast_server.domain.run import (
    MAX_METRICS_PER_BATCH,
    MAX_PARAMS_PER_BATCH,
    Batch,
    Dataset,
    DatasetInput,
    DatasetSummary,
    Metric,
    ModelOutput,
    Param,
    RunData,
    RunInfo,
    RunStatus,
)
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.experiments import (
    lifecycle_from_proto,
    lifecycle_to_proto,
    tag_pairs,
    tags_from_proto,
    tags_to_proto,
)
from holdfast_server.rpc.convert.metric_columns import check_metric_names, columns_from_proto
from holdfast_server.rpc.convert.times import ms_from_proto, optional_ms_from_proto, write_ms
from holdfast_server.services.runs import parse_run_tags

_STATUSES = {status: pb.RunStatus.Value(f"RUN_STATUS_{status.value}") for status in RunStatus}
_FROM_STATUS = {number: status for status, number in _STATUSES.items()}
_NO_DATA = RunData()


def status_to_proto(status: RunStatus) -> Any:
    """A status as an enum value."""
    return _STATUSES[status]


def status_from_proto(status: int) -> RunStatus | None:
    """A status; None for unspecified.

    Raises:
        InvalidArgument: This server does not know the value.
    """
    if status == pb.RUN_STATUS_UNSPECIFIED:
        return None
    found = _FROM_STATUS.get(status)
    if found is None:
        raise InvalidArgument(
            f"{status} is no run status; use RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.", field="status"
        )
    return found


def param_to_proto(param: Param) -> pb.Param:
    """A param as a message."""
    return pb.Param(key=param.key, value=param.value)


def params_to_proto(params: Iterable[Param]) -> list[pb.Param]:
    """Params as messages."""
    return [param_to_proto(param) for param in params]


def params_from_proto(params: Collection[pb.Param]) -> tuple[Param, ...]:
    """Params of a request, checked.

    Raises:
        InvalidArgument: One breaks a rule, or there are too many.
    """
    check_count(len(params), MAX_PARAMS_PER_BATCH, what="params", field="params")
    return Param.parse_all((param.key, param.value) for param in params)


def metric_to_proto(metric: Metric) -> pb.Metric:
    """A point as a message."""
    message = pb.Metric()
    write_metric(message, metric)
    return message


def write_metric(message: pb.Metric, metric: Metric) -> None:
    """Fill an empty message. Pages have thousands, so what is empty, as most of it is, costs nothing."""
    key, value, time, step, model_id, dataset_name, dataset_digest, run_id = metric
    message.key, message.value, message.step = key, value, step
    timestamp = message.timestamp
    timestamp.seconds, rest = divmod(time, 1_000)
    timestamp.nanos = rest * 1_000_000
    if model_id:
        message.model_id = model_id
    if dataset_name:
        message.dataset_name = dataset_name
    if dataset_digest:
        message.dataset_digest = dataset_digest
    if run_id:
        message.run_id = run_id


def metric_from_proto(message: pb.Metric, now_ms: int) -> Metric:
    """A point of a request, checked; ``now_ms`` stands in for an absent time.

    Raises:
        InvalidArgument: Key, time or a name breaks its rule.
    """
    (metric,) = metrics_from_proto([message], now_ms)
    return metric


def metrics_from_proto(messages: Iterable[pb.Metric], now_ms: int) -> tuple[Metric, ...]:
    """Points of a request, checked; ``now_ms`` stands in for absent times.

    Raises:
        InvalidArgument: A key, time or name breaks its rule.
    """
    metrics: list[Metric] = []
    checked: set[tuple[str, str, str]] = set()  # a batch repeats few of these many times
    for message in messages:
        names = key, dataset_name, dataset_digest = message.key, message.dataset_name, message.dataset_digest
        if names not in checked:
            check_metric_names(*names, field="metrics")
            checked.add(names)
        timed = message.HasField("timestamp")
        timestamp = ms_from_proto(message.timestamp, field="metrics.timestamp", of=key) if timed else now_ms
        metrics.append(
            Metric(key, message.value, timestamp, message.step, message.model_id, dataset_name, dataset_digest)
        )
    return tuple(metrics)


def batch_from_proto(request: service_pb.LogBatchRequest, now_ms: int) -> Batch:
    """A batch of a request, checked.

    Raises:
        InvalidArgument: Something in it breaks a rule.
    """
    # Before each is looked at, as a request has room for many thousands; columns count with them in the end.
    check_count(len(request.metrics), MAX_METRICS_PER_BATCH, what="metrics", field="metrics")
    changes = parse_run_tags(tag_pairs(request.tags), request.deleted_tag_keys)
    return Batch(
        metrics=(*metrics_from_proto(request.metrics, now_ms), *columns_from_proto(request.metric_columns, now_ms)),
        params=params_from_proto(request.params),
        tags=changes.tags,
        deleted_tag_keys=changes.deleted_keys,
        writer_id=check_writer_id(request.writer_id) if request.writer_id else "",
        writer_sequence=request.writer_sequence,
    )


def dataset_summary_to_proto(summary: DatasetSummary) -> pb.DatasetSummary:
    """A dataset that runs read as a message."""
    return pb.DatasetSummary(
        experiment_id=str(summary.experiment_id), name=summary.name, digest=summary.digest, context=summary.context
    )


def dataset_summary_from_proto(message: pb.DatasetSummary) -> DatasetSummary:
    """A dataset that runs read from a message that this server made."""
    return DatasetSummary(int(message.experiment_id), message.name, message.digest, message.context)


def dataset_input_to_proto(item: DatasetInput) -> pb.DatasetInput:
    """A dataset input as a message."""
    dataset = item.dataset
    return pb.DatasetInput(
        dataset=pb.Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema,
            profile=dataset.profile,
        ),
        tags=tags_to_proto(item.tags),
    )


def dataset_input_from_proto(message: pb.DatasetInput) -> DatasetInput:
    """A dataset input of a request, checked.

    Raises:
        InvalidArgument: A text is over its limit, or a name is missing.
    """
    dataset = Dataset.parse(
        name=message.dataset.name,
        digest=message.dataset.digest,
        source_type=message.dataset.source_type,
        source=message.dataset.source,
        schema=message.dataset.schema,
        profile=message.dataset.profile,
    )
    return DatasetInput(dataset, TagChanges.parse(tag_pairs(message.tags), (), TagLimit.INPUT).tags)


def model_output_to_proto(output: ModelOutput) -> pb.ModelOutput:
    """A link to a model that was produced, as a message."""
    return pb.ModelOutput(model_id=output.model_id, step=output.step)


def model_output_from_proto(message: pb.ModelOutput) -> ModelOutput:
    """A link to a model that was produced; raises ``NotFound`` for what is no model id."""
    return ModelOutput(named_model(message.model_id), message.step)


def model_input_to_proto(model_id: str) -> pb.ModelInput:
    """A link to a model that was read, as a message."""
    return pb.ModelInput(model_id=model_id)


def model_input_from_proto(message: pb.ModelInput) -> str:
    """The id of a model that was read; raises ``NotFound`` for what is no model id."""
    return named_model(message.model_id)


def run_to_proto(run: RunInfo, data: RunData = _NO_DATA) -> pb.Run:
    """A run with what it logged as a message."""
    message = pb.Run()
    write_run(message, run, data)
    return message


def write_run(message: pb.Run, run: RunInfo, data: RunData) -> None:
    """Fill an empty message. Pages have hundreds, so what they hold is written where it stays: lists are copied."""
    write_run_info(message, run)
    for key, value in data.params:
        message.params.add(key=key, value=value)
    for key, value in data.tags:
        message.tags.add(key=key, value=value)
    for metric in data.metrics:
        write_metric(message.metrics.add(), metric)
    write_run_links(message, data)


def write_run_info(message: pb.Run, run: RunInfo) -> None:
    """Fill an empty message with a run, without what it logged."""
    message.run_id = run.id
    message.experiment_id = str(run.experiment_id)
    message.run_name = run.name
    message.user_id = run.user_id
    message.status = status_to_proto(run.status)
    message.lifecycle_stage = lifecycle_to_proto(run.lifecycle)
    write_ms(message.start_time, run.start_time)
    if run.end_time is not None:
        write_ms(message.end_time, run.end_time)
    message.lost = run.lost


def write_run_links(message: pb.Run, data: RunData) -> None:
    """Add what a run read and produced; most have nothing of it."""
    if data.dataset_inputs:
        message.dataset_inputs.extend(map(dataset_input_to_proto, data.dataset_inputs))
    if data.model_inputs:
        message.model_inputs.extend(map(model_input_to_proto, data.model_inputs))
    if data.model_outputs:
        message.model_outputs.extend(map(model_output_to_proto, data.model_outputs))


def run_from_proto(message: pb.Run, number: int = 0) -> tuple[RunInfo, RunData]:
    """A run with what it logged, from a message that this server made; messages do not carry ``number``."""
    status = status_from_proto(message.status)
    assert status is not None, "an answer always has a status"
    info = RunInfo(
        number=number,
        id=message.run_id,
        experiment_id=int(message.experiment_id),
        name=message.run_name,
        user_id=message.user_id,
        status=status,
        lifecycle=lifecycle_from_proto(message.lifecycle_stage),
        start_time=ms_from_proto(message.start_time, field="start_time"),
        end_time=optional_ms_from_proto(message, "end_time"),
        lost=message.lost,
    )
    data = RunData(
        params=tuple(Param(param.key, param.value) for param in message.params),
        tags=tags_from_proto(message.tags),
        metrics=metrics_from_proto(message.metrics, 0),
        dataset_inputs=tuple(dataset_input_from_proto(item) for item in message.dataset_inputs),
        model_inputs=tuple(model_input_from_proto(link) for link in message.model_inputs),
        model_outputs=tuple(model_output_from_proto(output) for output in message.model_outputs),
    )
    return info, data
