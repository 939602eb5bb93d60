"""Experiments that are known by their names only, since the server was away when they were chosen."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from holdfast.errors import AlreadyExistsError, NotFoundError

if TYPE_CHECKING:
    from holdfast._channel import Channel

# No id begins so: those of the server are numbers.
_PREFIX = "name:"


def named(name: str) -> str:
    """What stands for the id of an experiment until it is known."""
    return _PREFIX + name


def is_named(experiment_id: str) -> bool:
    """Whether this stands for an id that is not known."""
    return experiment_id.startswith(_PREFIX)


def experiment_id_of(channel: Channel, experiment_id: str, *, patience: float | None) -> str:
    """The id that ``named`` stands for; the experiment is created when absent.

    Raises:
        UnavailableError: The server is still away.
    """
    from holdfast.v1 import experiment_service_pb2 as messages
    from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub

    name = experiment_id.removeprefix(_PREFIX)
    stub = channel.stub(ExperimentServiceStub)
    get = messages.GetExperimentRequest(name=name)
    create = messages.CreateExperimentRequest(name=name, request_id=secrets.token_hex(16))
    try:
        return channel.call(stub.GetExperiment, get, patience=patience).experiment.experiment_id
    except NotFoundError:
        pass
    try:
        return channel.call(stub.CreateExperiment, create, patience=patience).experiment.experiment_id
    except AlreadyExistsError:  # another process was faster
        return channel.call(stub.GetExperiment, get, patience=patience).experiment.experiment_id
