"""Sends what a fuzzer made to a method, and says what no answer may be."""

from __future__ import annotations

import grpc
from google.protobuf.descriptor import MethodDescriptor
from tests.rpc.bad_input.refusing import check_tells_nothing, described
from tests.rpc.bad_input.world import WAIT, World

# A watch that is let in goes on until it is ended.
ENDLESS = {"WatchRun", "WatchExperiment", "WatchRegisteredModel", "TailArtifact"}
# gRPC's own refusals carry no reason; ours all do.
WITHOUT_REASON = {"RESOURCE_EXHAUSTED"}
# Of the server's own making, or none in time.
DEFECTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"}

Metadata = tuple[tuple[str, str | bytes], ...]


def check_answered(world: World, method: MethodDescriptor, messages: list[bytes], metadata: Metadata = ()) -> None:
    """The answer is a result, or an error that says what is wrong with the request and nothing of the inside."""
    error = call(world, method, messages, metadata)
    if error is not None:
        code, (reason, _) = error.code().name, described(error)
        assert code not in DEFECTS, error.details()
        assert reason or code in WITHOUT_REASON
        check_tells_nothing(world, error)


def call(
    world: World, method: MethodDescriptor, messages: list[bytes], metadata: Metadata = ()
) -> grpc.RpcError | None:
    """The error of a call; None when it has a result, of which an endless one is not waited for."""
    takes, gives = method.client_streaming, method.server_streaming
    kind = getattr(world.channel, f"{'stream' if takes else 'unary'}_{'stream' if gives else 'unary'}")
    send = kind(
        f"/{method.containing_service.full_name}/{method.name}", request_serializer=None, response_deserializer=None
    )
    try:
        answer = send(iter(messages) if takes else messages[0], timeout=WAIT, metadata=metadata or None)
        if method.name in ENDLESS:
            next(answer, None)
            answer.cancel()
        elif gives:
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return error
    return None
