"""Logged models between messages and domain values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from holdfast.v1 import model_pb2 as pb
from holdfast.v1 import model_service_pb2 as service_pb
from holdfast_server.domain.model import ModelData, ModelInfo, ModelRegistration, ModelStatus
from holdfast_server.domain.names import check_count
from holdfast_server.domain.run import Param
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.experiments import (
    lifecycle_from_proto,
    lifecycle_to_proto,
    tags_from_proto,
    tags_to_proto,
)
from holdfast_server.rpc.convert.runs import metric_to_proto, metrics_from_proto, params_to_proto
from holdfast_server.rpc.convert.times import ms_from_proto, ms_to_proto
from holdfast_server.services.search.query import DatasetName

_STATUSES = {status: pb.LoggedModelStatus.Value(f"LOGGED_MODEL_STATUS_{status.value}") for status in ModelStatus}
_FROM_STATUS = {number: status for status, number in _STATUSES.items()}
_NO_DATA = ModelData()
MAX_DATASETS = 100


def model_status_to_proto(status: ModelStatus) -> Any:
    """A status as an enum value."""
    return _STATUSES[status]


def model_status_from_proto(status: int) -> ModelStatus:
    """A status.

    Raises:
        InvalidArgument: It is unspecified, or this server does not know it.
    """
    found = _FROM_STATUS.get(status)
    if found is None:
        raise InvalidArgument("Give a status: READY or FAILED.", field="status")
    return found


def registration_to_proto(registration: ModelRegistration) -> pb.ModelRegistration:
    """A version made of a model, as a message."""
    return pb.ModelRegistration(name=registration.name, version=registration.version)


def dataset_names_from_proto(messages: Collection[service_pb.DatasetName]) -> tuple[DatasetName, ...]:
    """The datasets that a search names, checked.

    Raises:
        InvalidArgument: One has no name, or there are too many.
    """
    check_count(len(messages), MAX_DATASETS, what="datasets", field="datasets")
    for message in messages:
        if not message.name:
            raise InvalidArgument("Each dataset has a name; leave only its digest out.", field="datasets.name")
    return tuple(DatasetName(message.name, message.digest) for message in messages)


def model_to_proto(model: ModelInfo, data: ModelData = _NO_DATA) -> pb.LoggedModel:
    """A logged model as a message."""
    return pb.LoggedModel(
        model_id=model.id,
        experiment_id=str(model.experiment_id),
        name=model.name,
        source_run_id=model.source_run_id,
        model_type=model.model_type,
        status=model_status_to_proto(model.status),
        status_message=model.status_message,
        lifecycle_stage=lifecycle_to_proto(model.lifecycle),
        create_time=ms_to_proto(model.create_time),
        update_time=ms_to_proto(model.update_time),
        params=params_to_proto(data.params),
        tags=tags_to_proto(data.tags),
        metrics=[metric_to_proto(metric) for metric in data.metrics],
        registrations=[registration_to_proto(registration) for registration in data.registrations],
        principal=model.principal,
    )


def model_from_proto(message: pb.LoggedModel, number: int = 0) -> tuple[ModelInfo, ModelData]:
    """A logged model from a message that this server made; messages do not carry ``number``."""
    info = ModelInfo(
        number=number,
        id=message.model_id,
        experiment_id=int(message.experiment_id),
        name=message.name,
        source_run_id=message.source_run_id,
        model_type=message.model_type,
        status=model_status_from_proto(message.status),
        status_message=message.status_message,
        lifecycle=lifecycle_from_proto(message.lifecycle_stage),
        create_time=ms_from_proto(message.create_time, field="create_time"),
        update_time=ms_from_proto(message.update_time, field="update_time"),
        principal=message.principal,
    )
    data = ModelData(
        params=tuple(Param(param.key, param.value) for param in message.params),
        tags=tags_from_proto(message.tags),
        metrics=metrics_from_proto(message.metrics, 0),
        registrations=tuple(ModelRegistration(r.name, r.version) for r in message.registrations),
    )
    return info, data
