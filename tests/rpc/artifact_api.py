"""Short calls of ArtifactService, for its tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
)
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

FILE, DIRECTORY = artifact_pb.ENTRY_KIND_FILE, artifact_pb.ENTRY_KIND_DIRECTORY


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def inline(path: str, data: bytes = b"x", **fields: Any) -> pb.NewEntry:
    return pb.NewEntry(path=path, kind=FILE, size=len(data), inline_data=data, **fields)


def commit_parts(header: pb.CommitHeader, *messages: Sequence[pb.NewEntry]) -> list[pb.CommitFilesRequest]:
    """The messages of a commit whose entries are cut like this."""
    return [
        pb.CommitFilesRequest(header=header),
        *(pb.CommitFilesRequest(entries=pb.CommitEntries(entries=entries)) for entries in messages),
        pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=sum(map(len, messages)))),
    ]


class ArtifactApi:
    """The stubs, with the messages made of what tests say."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = ArtifactServiceStub(channel)
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.write_raw = channel.stream_stream(
            "/holdfast.v1.ArtifactService/WriteBlocks", None, pb.WriteBlocksResponse.FromString
        )

    async def new_run(self) -> artifact_pb.TreeOwner:
        response = await self.runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id="0"))
        return artifact_pb.TreeOwner(run_id=response.run.run_id)

    async def new_model(self) -> artifact_pb.TreeOwner:
        request = model_service_pb2.CreateLoggedModelRequest(experiment_id="0", name="m")
        return artifact_pb.TreeOwner(model_id=(await self.models.CreateLoggedModel(request)).model.model_id)

    async def commit(
        self, owner: artifact_pb.TreeOwner, *entries: pb.NewEntry, request_id: str = "", digest: bool = False
    ) -> pb.CommitFilesResponse:
        header = pb.CommitHeader(owner=owner, request_id=request_id, return_tree_digest=digest)
        return await self.stub.CommitFiles(iter(commit_parts(header, entries)))

    async def write(self, messages: Iterable[bytes | pb.WriteBlocksRequest]) -> dict[bytes, pb.BlockResult]:
        async def requests() -> AsyncIterator[bytes]:
            for message in messages:
                yield message if isinstance(message, bytes) else message.SerializeToString()

        results: dict[bytes, pb.BlockResult] = {}
        async for response in self.write_raw(requests()):
            results.update((result.digest, result) for result in response.results)
        return results

    async def missing(self, digests: list[bytes]) -> list[bytes]:
        response = await self.stub.FindMissingBlocks(pb.FindMissingBlocksRequest(digests=digests))
        return list(response.missing_digests)

    async def until(self, condition: Callable[[list[bytes]], bool], digests: list[bytes]) -> None:
        """Wait until what is missing of ``digests`` is as it should be; the suite's time limit ends it."""
        while not condition(await self.missing(digests)):  # noqa: ASYNC110 - what happens elsewhere has no event here
            await asyncio.sleep(0.01)

    async def paths(self, owner: artifact_pb.TreeOwner, **fields: Any) -> list[str]:
        response = await self.stub.ListFiles(pb.ListFilesRequest(owner=owner, recursive=True, **fields))
        return [entry.path for entry in response.entries]

    async def read(self, owner: artifact_pb.TreeOwner, path: str, **fields: Any) -> tuple[pb.ReadFileHeader, bytes]:
        header, data = pb.ReadFileHeader(), b""
        async for message in self.stub.ReadFile(pb.ReadFileRequest(owner=owner, path=path, **fields)):
            if message.HasField("header"):
                header = message.header
            data += message.chunk.data
        return header, data


async def failure(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Status, reason and message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = dict(tuple(caught.value.trailing_metadata() or ()))["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(details).details[0].Unpack(info)
    assert info.domain == "holdfast"
    return caught.value.code(), info.reason, caught.value.details() or ""


def chunked(data: bytes, digest: bytes | None = None, size: int | None = None) -> list[bytes]:
    digest = sha(data) if digest is None else digest
    pieces = [data[i : i + (1 << 20)] for i in range(0, len(data), 1 << 20)]
    first = Chunk(digest, len(data) if size is None else size, pieces[0])
    return [encode_chunk(first), *(encode_chunk(Chunk(b"", 0, piece)) for piece in pieces[1:])]
