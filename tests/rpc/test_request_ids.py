"""Every answer names the call, whether it succeeds or fails, for each of the four kinds of call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from holdfast.v1 import artifact_service_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2_grpc as artifact_grpc
from holdfast.v1 import run_service_pb2 as run_pb
from holdfast.v1 import storage_service_pb2 as storage_pb
from holdfast.v1 import storage_service_pb2_grpc as storage_grpc

KEY = "x-holdfast-request-id"
METADATA = ((KEY, "my-call-1"),)


async def named(call: Any) -> str:
    """The id that a call was answered with, once."""
    (name,) = (value for key, value in await call.trailing_metadata() if key == KEY)
    return str(name)


async def messages(*requests: Any) -> AsyncIterator[Any]:
    for request in requests:
        yield request


async def test_a_unary_call_is_named_by_the_client(api: Any, channel: grpc.aio.Channel):
    call = artifact_grpc.ArtifactServiceStub(channel).GetCapabilities(
        artifact_pb.GetCapabilitiesRequest(), metadata=METADATA
    )
    await call
    assert await named(call) == "my-call-1"


async def test_streams_are_named(channel: grpc.aio.Channel):
    writing = artifact_grpc.ArtifactServiceStub(channel).WriteBlocks(messages(), metadata=METADATA)
    assert [message async for message in writing]
    assert await named(writing) == "my-call-1"
    collecting = storage_grpc.StorageServiceStub(channel).CollectGarbage(
        storage_pb.CollectGarbageRequest(), metadata=METADATA
    )
    assert [message async for message in collecting]
    assert await named(collecting) == "my-call-1"


async def test_a_stream_of_requests_that_fails_is_named(channel: grpc.aio.Channel):
    call = artifact_grpc.ArtifactServiceStub(channel).CommitFiles(messages(), metadata=METADATA)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await named(call) == "my-call-1"
    assert "grpc-status-details-bin" in dict(await call.trailing_metadata())


async def test_a_failed_call_is_named_and_keeps_its_details(runs: Any):
    call = runs.GetRun(run_pb.GetRunRequest(run_id="0" * 32), metadata=METADATA)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await named(call) == "my-call-1"
    assert "grpc-status-details-bin" in dict(await call.trailing_metadata())


async def test_a_malformed_message_is_named(channel: grpc.aio.Channel):
    call = channel.unary_unary("/holdfast.v1.RunService/GetRun")(b"\xff", metadata=METADATA)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await named(call) == "my-call-1"


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_an_unknown_method_is_refused_by_name(channel: grpc.aio.Channel, kind: str):
    method = getattr(channel, kind)("/holdfast.v1.RunService/Nothing\x01")
    call = method(messages(b"x") if kind.startswith("stream") else b"x", metadata=METADATA)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call if kind.endswith("unary") else call.read())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Nothing" not in (caught.value.details() or "")
    assert await named(call) == "my-call-1"


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "<script>", "-rf"])
async def test_a_malformed_name_is_replaced_and_not_echoed(runs: Any, name: str):
    call = runs.GetRun(run_pb.GetRunRequest(run_id="0" * 32), metadata=((KEY, name),))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    given = await named(call)
    assert len(given) == 32
    assert int(given, 16) >= 0


async def test_two_names_are_none(runs: Any):
    call = runs.GetRun(run_pb.GetRunRequest(run_id="0" * 32), metadata=((KEY, "one"), (KEY, "two")))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await named(call) not in {"one", "two"}


async def test_each_call_has_a_line_in_the_access_log(runs: Any, caplog: pytest.LogCaptureFixture):
    def lines() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "holdfast_server.access"]

    with caplog.at_level(logging.DEBUG, "holdfast_server.access"):
        with pytest.raises(grpc.aio.AioRpcError):
            await runs.GetRun(run_pb.GetRunRequest(run_id="0" * 32), metadata=METADATA)
        while not lines():  # noqa: ASYNC110 - a line is written just after the answer went out
            await asyncio.sleep(0.01)
    (record,) = lines()
    known: dict[str, Any] = vars(record)["call"]
    assert (known["method"], known["code"]) == ("holdfast.v1.RunService/GetRun", "NOT_FOUND")
    assert known["seconds"] > 0
    assert known["peer"].startswith("ipv4:127.0.0.1:")
