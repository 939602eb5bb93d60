"""StorageService over a real socket: what the use cases' own suites cannot see."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from holdfast.v1 import artifact_pb2, artifact_service_pb2, run_service_pb2
from holdfast.v1 import storage_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.storage_service_pb2_grpc import StorageServiceStub
from holdfast_server.app import App
from holdfast_server.rpc import storage_service
from holdfast_server.services.ports.artifacts import StoredObject

ZERO = Duration()


@pytest.fixture
def storage(channel: grpc.aio.Channel) -> Any:
    return StorageServiceStub(channel)


@pytest.fixture
def stalled(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A store whose listing stands still until the event is set."""
    go_on = threading.Event()

    def list_objects(prefix: str = "") -> Iterator[StoredObject]:
        go_on.wait(60)
        yield from ()

    monkeypatch.setattr(app.store_access.objects, "list_objects", list_objects)
    monkeypatch.setattr(storage_service, "PROGRESS_SECONDS", 0.02)
    yield go_on
    go_on.set()


async def end(call: Any) -> None:
    """Read a stream to its end."""
    async for _ in call:
        pass


async def commit(channel: grpc.aio.Channel, run_id: str, data: bytes) -> int:
    entry = artifact_service_pb2.NewEntry(path="f", kind=artifact_pb2.ENTRY_KIND_FILE, size=len(data), inline_data=data)
    header = artifact_service_pb2.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=run_id))
    messages = [
        artifact_service_pb2.CommitFilesRequest(header=header),
        artifact_service_pb2.CommitFilesRequest(entries=artifact_service_pb2.CommitEntries(entries=[entry])),
        artifact_service_pb2.CommitFilesRequest(end=artifact_service_pb2.CommitEnd(entry_count=1)),
    ]
    return (await ArtifactServiceStub(channel).CommitFiles(iter(messages))).committed.sequence


@pytest.mark.parametrize(
    ("method", "call"),
    [("CollectGarbage", pb.CollectGarbageRequest(grace=ZERO)), ("CheckStorage", pb.CheckStorageRequest())],
    ids=["gc", "fsck"],
)
async def test_long_work_tells_that_it_goes_on_and_stops_with_its_caller(storage, app: App, stalled, method, call):
    stream = getattr(storage, method)(call)
    messages = [await stream.read() for _ in range(4)]  # they come although nothing moves
    assert messages[-1] is not grpc.aio.EOF
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await end(storage.CheckStorage(pb.CheckStorageRequest()))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    stream.cancel()
    stalled.set()
    for _ in range(5_000):  # until the lease was given back
        try:
            await end(storage.CheckStorage(pb.CheckStorageRequest()))
            return
        except grpc.aio.AioRpcError as error:
            assert "has been working on this store" in (error.details() or "")  # noqa: PT017
        await asyncio.sleep(0.02)
    pytest.fail("the lease was not given back")


@pytest.mark.parametrize("duration", [Duration(seconds=-1), Duration(nanos=-1), Duration(seconds=10**12)])
async def test_impossible_times_are_refused(storage, refused, duration: Duration):
    for call in (
        storage.CollectGarbage(pb.CollectGarbageRequest(grace=duration)),
        storage.CollectGarbage(pb.CollectGarbageRequest(purge_deleted=duration)),
        storage.CheckStorage(pb.CheckStorageRequest(grace=duration)),
    ):
        await refused(end(call), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_an_expired_snapshot_is_refused_by_every_read(storage, channel, runs, refused):
    run_id = (await runs.CreateRun(run_service_pb2.CreateRunRequest())).run.run_id
    artifacts, owner = ArtifactServiceStub(channel), artifact_pb2.TreeOwner(run_id=run_id)
    for data in (b"old", b"new"):
        await commit(channel, run_id, data)
    await asyncio.sleep(0.002)  # a grace of zero keeps what was done in this millisecond
    await end(storage.CollectGarbage(pb.CollectGarbageRequest(grace=ZERO)))
    requests = [
        artifacts.ListFiles(artifact_service_pb2.ListFilesRequest(owner=owner, sequence=1)),
        artifacts.GetTree(artifact_service_pb2.GetTreeRequest(owner=owner, sequence=1)),
        end(artifacts.ReadFile(artifact_service_pb2.ReadFileRequest(owner=owner, sequence=1, path="f"))),
        end(artifacts.ReadFiles(artifact_service_pb2.ReadFilesRequest(owner=owner, sequence=1))),
    ]
    for request in requests:
        await refused(request, "FAILED_PRECONDITION", "SNAPSHOT_EXPIRED")
    found = await artifacts.ListFiles(artifact_service_pb2.ListFilesRequest(owner=owner, sequence=2))
    assert [entry.path for entry in found.entries] == ["f"]
