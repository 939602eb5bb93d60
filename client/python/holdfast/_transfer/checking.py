"""Checks what a server stores, and what a local directory holds, against the digests of a tree."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from holdfast._channel import Channel
from holdfast._rpc_errors import is_interruption, status_of
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import join_files, start_call
from holdfast.entities import FileInfo
from holdfast.errors import DataLossError
from holdfast.format.chunks import decode_chunk
from holdfast.format.digests import BLOCK_SIZE, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Larger files are read one by one, after the small ones came in one stream.
MAX_BATCHED = 1 << 20

_READ = "/holdfast.v1.ArtifactService/ReadFile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check found out about a file or directory.

    Attributes:
        path: Below the run or model.
        problem: Empty when it is sound; ``damaged``, ``missing``, ``extra`` or ``different``.
        message: More about the problem, for people; may be empty.
    """

    path: str
    problem: str = ""
    message: str = ""


class StoredFiles:
    """Reads every byte of a location from the server; what is damaged is told, and the rest read all the same."""

    def __init__(self, channel: Channel, location: artifact_pb.ArtifactLocation, progress: Progress) -> None:
        self._channel, self._location, self._progress = channel, location, progress
        self._stub: Any = channel.stub(ArtifactServiceStub)
        self._read: Any = channel.grpc.unary_stream(_READ, pb.ReadFileRequest.SerializeToString, None)

    def check(self) -> Iterator[Check]:
        """One check a file, in no promised order.

        Raises:
            HoldfastError: The server cannot be reached, or what the location names is not there.
        """
        listed = self._list()
        large: list[artifact_pb.Entry] = []
        after = ""
        while True:
            try:
                for entry, data in self._read_small(after):
                    after = entry.path
                    if entry.kind != artifact_pb.ENTRY_KIND_FILE:
                        continue
                    self._progress.expect(entry.size, files=1)
                    if entry.size > MAX_BATCHED:
                        large.append(entry)
                    else:
                        self._progress.advance(entry.size)
                        yield self._checked(entry, hashlib.sha256(data).digest())
                break
            except DataLossError:
                # It does not say of which file. One by one, then, until that is found; there the stream goes on.
                for entry in listed:
                    if entry.kind != artifact_pb.ENTRY_KIND_FILE or entry.path.encode() <= after.encode():
                        continue
                    after = entry.path
                    self._progress.expect(entry.size, files=1)
                    check = self._check_one(entry)
                    yield check
                    if check.problem:
                        break
        for entry in large:
            yield self._check_one(entry)

    def _list(self) -> Iterator[artifact_pb.Entry]:
        location = self._location
        request = pb.ListFilesRequest(
            owner=location.owner, sequence=location.sequence, path=location.path, recursive=True, page_size=10_000
        )
        while True:
            response = self._channel.call(self._stub.ListFiles, request)
            yield from response.entries
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def _read_small(self, after: str) -> Iterator[tuple[artifact_pb.Entry, bytes]]:
        """Entries after a path, with the data of those that are small enough; goes on when the connection breaks."""
        location = self._location
        request = pb.ReadFilesRequest(
            owner=location.owner, sequence=location.sequence, path=location.path,
            max_data_size=MAX_BATCHED, start_after=after,
        )  # fmt: skip
        while True:
            call = self._channel.run(lambda: start_call(self._stub.ReadFiles(request)))
            try:
                for entry, data in join_files(call, MAX_BATCHED):
                    yield entry, data
                    request.start_after = entry.path
                return
            except grpc.RpcError as error:
                failure = self._channel.translate(error)
                if not is_interruption(status_of(error), failure):
                    raise failure from None
            finally:
                call.cancel()

    def _check_one(self, entry: artifact_pb.Entry) -> Check:
        try:
            return self._checked(entry, self._channel.run(lambda: self._digest(entry)))
        except DataLossError as error:
            return Check(path=self._path(entry), problem="damaged", message=error.message)

    def _digest(self, entry: artifact_pb.Entry) -> bytes:
        """The digest of the bytes that the server gives for a file."""
        request = pb.ReadFileRequest(
            owner=self._location.owner, sequence=self._location.sequence, path=entry.path, expected_digest=entry.digest
        )
        call = self._read(request)
        blocks: list[bytes] = []
        block = hashlib.sha256()
        done = 0
        try:
            next(call)  # the header, which repeats the entry
            for raw in call:
                chunk = decode_chunk(raw) or pb.ReadFileResponse.FromString(raw).chunk
                if chunk.digest and done:
                    blocks.append(block.digest())
                    block = hashlib.sha256()
                block.update(chunk.data)
                done += len(chunk.data)
                self._progress.advance(len(chunk.data))
        finally:
            call.cancel()
        return file_digest([*blocks, block.digest()] if done else [])

    def _checked(self, entry: artifact_pb.Entry, digest: bytes) -> Check:
        if digest == entry.digest:
            return Check(path=self._path(entry))
        return Check(path=self._path(entry), problem="damaged", message="The bytes that came do not have its digest.")

    def _path(self, entry: artifact_pb.Entry) -> str:
        return f"{self._location.prefix}/{entry.path}" if self._location.prefix else entry.path


def compare(entries: Iterable[FileInfo], base: str, local: Path, progress: Progress) -> Iterator[Check]:
    """Compare a listing with a local copy of it, by kind and digest.

    Args:
        entries: Of a whole file or directory.
        base: Its path; those of the entries begin with it.
        local: The file or directory that shall be equal.
        progress: Counts the bytes that are read.

    Raises:
        FileNotFoundError: There is nothing at ``local``.
        OSError: Something in it cannot be read.
    """
    found = dict(_walk(local, base))
    for entry in entries:
        path = found.pop(entry.path, None)
        if path is None:
            yield Check(path=entry.path, problem="missing")
        elif entry.is_dir != path.is_dir():
            kind = "a directory" if path.is_dir() else "a file"
            yield Check(path=entry.path, problem="different", message=f"It is {kind} in the local copy.")
        elif not entry.is_dir:
            yield _compare_file(entry, path, progress)
    for name in sorted(found, key=str.encode):
        yield Check(path=name, problem="extra")


def _compare_file(entry: FileInfo, local: Path, progress: Progress) -> Check:
    size = local.stat().st_size
    if size != entry.file_size:
        progress.expect(0, files=1)
        message = f"The local copy has {size} bytes and not {entry.file_size}."
        return Check(path=entry.path, problem="different", message=message)
    progress.expect(size, files=1)
    blocks = []
    with local.open("rb") as file:
        while data := file.read(BLOCK_SIZE):
            blocks.append(hashlib.sha256(data).digest())
            progress.advance(len(data))
    if file_digest(blocks).hex() == entry.digest:
        return Check(path=entry.path)
    return Check(path=entry.path, problem="different", message="It has the same size and other bytes.")


def _walk(local: Path, base: str) -> Iterator[tuple[str, Path]]:
    """Everything at and below ``local`` by the path that it would have in the artifacts."""
    if not local.exists():
        raise FileNotFoundError(f"No file or directory: {local}")
    if not local.is_dir():
        yield base, local
        return

    def fail(error: OSError) -> None:
        raise error

    for folder, names, files in os.walk(local, onerror=fail):
        for name in (*names, *files):
            path = Path(folder, name)
            inner = path.relative_to(local).as_posix()
            yield (f"{base}/{inner}" if base else inner), path
