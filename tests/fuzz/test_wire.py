"""Whatever a request of any method holds, the answer is a result or a typed error, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.messages import methods, requests
from tests.fuzz.sizing import CALLS, effort
from tests.rpc.bad_input.conftest import world_on
from tests.rpc.bad_input.refusing import check_tells_nothing, described
from tests.rpc.bad_input.world import WAIT, World

from holdfast_server.storage.blocks.local import LocalObjectStore

# A watch that is let in goes on until it is ended.
ENDLESS = {"WatchRun", "WatchExperiment", "WatchRegisteredModel", "TailArtifact"}
# gRPC's own refusals carry no reason; ours all do.
WITHOUT_REASON = {"RESOURCE_EXHAUSTED"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("fuzz") / "data"
    with world_on(data_dir, LocalObjectStore(data_dir / "store")) as world:
        yield world


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("method", [pytest.param(method, id=method.name) for method in methods()])
@effort(CALLS)
@given(st.data())
def test_any_request_gets_a_result_or_a_typed_error(
    world: World, method: MethodDescriptor, data: st.DataObject
) -> None:
    error = call(world, method, data.draw(requests(method)))
    if error is not None:
        code, (reason, _) = error.code().name, described(error)
        assert code not in {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"}, error.details()
        assert reason or code in WITHOUT_REASON
        check_tells_nothing(world, error)
    assert world.complaints() == [], world.server.lines
    assert world.server.process.poll() is None


def call(world: World, method: MethodDescriptor, messages: list[bytes]) -> grpc.RpcError | None:
    """The error of a call; None when it has a result, of which an endless one is not waited for."""
    takes, gives = method.client_streaming, method.server_streaming
    kind = getattr(world.channel, f"{'stream' if takes else 'unary'}_{'stream' if gives else 'unary'}")
    send = kind(
        f"/{method.containing_service.full_name}/{method.name}", request_serializer=None, response_deserializer=None
    )
    try:
        answer = send(iter(messages) if takes else messages[0], timeout=WAIT)
        if method.name in ENDLESS:
            next(answer, None)
            answer.cancel()
        elif gives:
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return error
    return None
