"""A client believes a server's bytes and names no further than it can check."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from holdfast._client import Client
from holdfast.errors import DataLossError, LocalFileError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceServicer, add_ArtifactServiceServicer_to_server

RUN = "0" * 32


class HostileServer(ArtifactServiceServicer):
    """Answers with whatever a test wants."""

    entries: tuple[tuple[str, bytes, bytes], ...] = ()
    prefix = ""

    def ResolveArtifact(self, request, context):  # noqa: N802 - gRPC's name
        own = artifact_pb.ArtifactLocation(
            owner=artifact_pb.TreeOwner(run_id=RUN),
            sequence=1,
            kind=artifact_pb.ENTRY_KIND_DIRECTORY,
            prefix=self.prefix,
        )
        return pb.ResolveArtifactResponse(locations=[own])

    def ReadFiles(self, request, context):  # noqa: N802 - gRPC's name
        for path, data, digest in self.entries:
            entry = artifact_pb.Entry(path=path, kind=artifact_pb.ENTRY_KIND_FILE, size=len(data), digest=digest)
            yield pb.ReadFilesResponse(parts=[pb.FilePart(entry=entry, data=data)], sequence=1)


@pytest.fixture
def hostile() -> Iterator[tuple[HostileServer, Client]]:
    server, servicer = grpc.server(ThreadPoolExecutor(2)), HostileServer()
    add_ArtifactServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"holdfast://127.0.0.1:{port}") as client:
        yield servicer, client
    server.stop(None).wait()


@pytest.mark.parametrize("path", ["../evil", "/tmp/holdfast-evil", "a/../../evil", "a\\..\\evil", ""])
def test_a_path_that_leaves_the_target_is_refused(hostile, tmp_path: Path, path: str) -> None:
    servicer, client = hostile
    servicer.entries = ((path, b"x", hashlib.sha256(b"x").digest()),)
    with pytest.raises(LocalFileError, match="server sent the path"):
        client.download_artifacts(RUN, dst_path=tmp_path / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["out"]


def test_a_prefix_that_leaves_the_target_is_refused(hostile, tmp_path: Path) -> None:
    servicer, client = hostile
    servicer.prefix = "../evil"
    with pytest.raises(LocalFileError, match="server sent the path"):
        client.download_artifacts(RUN, dst_path=tmp_path / "out")


def test_bytes_without_their_digest_are_not_written(hostile, tmp_path: Path) -> None:
    servicer, client = hostile
    servicer.entries = (("f", b"x", hashlib.sha256(b"y").digest()),)
    with pytest.raises(DataLossError):
        client.download_artifacts(RUN, dst_path=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
