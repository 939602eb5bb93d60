"""Stubs of every service over one channel, a server that asks who calls, and a way to state how a call must fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.rpc.access_api import AccessServer, serving
from tests.rpc.artifact_api import ArtifactApi
from tests.rpc.run_api import create

from holdfast.v1 import (
    experiment_service_pb2_grpc,
    model_registry_service_pb2_grpc,
    model_service_pb2_grpc,
    run_service_pb2_grpc,
)


@dataclass(frozen=True)
class Refusal:
    """What a refused call was answered with."""

    message: str
    metadata: dict[str, str]
    field: str


@pytest.fixture
async def server() -> AsyncIterator[AccessServer]:
    """One that asks who calls, of the test's own."""
    async with serving() as running:
        yield running


@pytest.fixture
def experiments(channel: grpc.aio.Channel) -> Any:
    return experiment_service_pb2_grpc.ExperimentServiceStub(channel)


@pytest.fixture
def api(channel: grpc.aio.Channel) -> ArtifactApi:
    return ArtifactApi(channel)


@pytest.fixture
def runs(channel: grpc.aio.Channel) -> Any:
    return run_service_pb2_grpc.RunServiceStub(channel)


@pytest.fixture
async def run(runs: Any) -> Any:
    """A run of the test's own."""
    return await create(runs, run_name="first", user_id="ada")


@pytest.fixture
def models(channel: grpc.aio.Channel) -> Any:
    return model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture
def registry(channel: grpc.aio.Channel) -> Any:
    return model_registry_service_pb2_grpc.ModelRegistryServiceStub(channel)


@pytest.fixture
def refused() -> Callable[[Awaitable[Any], str, str], Awaitable[Refusal]]:
    """Awaits a call and checks its status code and reason; returns the rest of the error."""

    async def check(call: Awaitable[Any], code: str, reason: str) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = caught.value
        details = dict(tuple(error.trailing_metadata() or ()))["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(details)
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(bad_request)
        assert (error.code().name, info.reason, info.domain) == (code, reason, "holdfast"), error.details()
        assert status.message == error.details()
        field = bad_request.field_violations[0].field if bad_request.field_violations else ""
        return Refusal(error.details() or "", dict(info.metadata), field)

    return check
