"""Runs as users see them and as they travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from holdfast._calls import tags_from_proto
from holdfast._checks import check_text, check_value
from holdfast._datasets import dataset_input_from_proto
from holdfast._experiments import lifecycle_stage
from holdfast._metrics import ColumnPoints, ListedPoints
from holdfast._times import ms_from_proto
from holdfast.entities import (
    LoggedModelInput,
    LoggedModelOutput,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunStatus,
)
from holdfast.errors import InvalidArgumentError
from holdfast.format.names import MAX_PARAM_VALUE
from holdfast.v1 import experiment_pb2, run_columns_pb2, run_pb2, run_service_pb2

_STATUS_PREFIX = "RUN_STATUS_"


def run_from_proto(proto: run_pb2.Run) -> Run:
    """A run as users see it, bound to no client."""
    return Run(
        info=RunInfo(
            run_id=proto.run_id,
            experiment_id=proto.experiment_id,
            run_name=proto.run_name,
            user_id=proto.user_id,
            status=status_from_proto(proto.status),
            start_time=ms_from_proto(proto.start_time) if proto.HasField("start_time") else None,
            end_time=ms_from_proto(proto.end_time) if proto.HasField("end_time") else None,
            lifecycle_stage=lifecycle_stage(proto.lifecycle_stage),
            artifact_uri=f"runs:/{proto.run_id}",
            lost=proto.lost,
        ),
        data=_data_of_columns(proto.columns) if proto.HasField("columns") else _data_of_lists(proto),
        inputs=RunInputs(
            dataset_inputs=[dataset_input_from_proto(item) for item in proto.dataset_inputs],
            model_inputs=[LoggedModelInput(item.model_id) for item in proto.model_inputs],
        ),
        outputs=RunOutputs(model_outputs=[LoggedModelOutput(item.model_id, item.step) for item in proto.model_outputs]),
    )


def _data_of_lists(proto: run_pb2.Run) -> RunData:
    return RunData(
        metrics=_newest(proto.metrics),
        params={param.key: param.value for param in proto.params},
        tags=tags_from_proto(proto.tags),
        metric_points=ListedPoints(proto.metrics),
    )


def _data_of_columns(columns: run_columns_pb2.RunColumns) -> RunData:
    return RunData(
        metrics=dict(zip(columns.metric_keys, columns.metric_values, strict=True)),
        params=dict(zip(columns.param_keys, columns.param_values, strict=True)),
        tags=dict(zip(columns.tag_keys, columns.tag_values, strict=True)),
        metric_points=ColumnPoints(columns),
    )


def run_to_be(request: run_service_pb2.CreateRunRequest) -> run_pb2.Run:
    """A run as it will be once the server is there to create it."""
    return run_pb2.Run(
        run_id=request.run_id,
        experiment_id=request.experiment_id or "0",
        run_name=request.run_name,
        user_id=request.user_id,
        status=run_pb2.RUN_STATUS_RUNNING,
        start_time=request.start_time,
        tags=request.tags,
        lifecycle_stage=experiment_pb2.LIFECYCLE_STAGE_ACTIVE,
    )


def _newest(metrics: Iterable[run_pb2.Metric]) -> dict[str, float]:
    return {metric.key: metric.value for metric in metrics}


def status_from_proto(status: run_pb2.RunStatus) -> str:
    """The name of a status, such as ``"FINISHED"``."""
    return run_pb2.RunStatus.Name(status).removeprefix(_STATUS_PREFIX)


def status_to_proto(status: str) -> run_pb2.RunStatus:
    """The wire's value of a status.

    Raises:
        InvalidArgumentError: There is no such status.
    """
    try:
        return cast("run_pb2.RunStatus", run_pb2.RunStatus.Value(_STATUS_PREFIX + RunStatus(status).value))
    except ValueError:
        names = ", ".join(status.value for status in RunStatus)
        raise InvalidArgumentError(f"{status!r} is no status of a run: it is one of {names}.") from None


def param_to_proto(param: Param) -> run_pb2.Param:
    """A param as it travels; values become text, as MLflow's do."""
    key = check_text(param.key, "param")
    return run_pb2.Param(key=key, value=check_value(key, param.value, "param", MAX_PARAM_VALUE))


def params_to_proto(params: Mapping[str, Any] | None) -> list[run_pb2.Param]:
    """Params as they travel.

    Raises:
        InvalidArgumentError: One breaks a rule, or ``params`` is no dictionary.
    """
    if params is not None and not isinstance(params, Mapping):
        raise InvalidArgumentError(f"params must be a dictionary, not {type(params).__name__}.")
    return [param_to_proto(Param(key, value)) for key, value in (params or {}).items()]
