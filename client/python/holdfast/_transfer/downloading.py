"""Downloads files and trees: verified, in bounded memory, and under their final names only when whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from holdfast._channel import Channel
from holdfast._rpc_errors import is_interruption, status_of
from holdfast._transfer.names import check_local_names, check_received_path, is_folding
from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import FileReading, damaged, join_files, start_call
from holdfast._transfer.writing import local_errors, make_directory, partial_file, write_at, write_small
from holdfast.errors import NotFoundError
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Larger files are read one by one, in parallel, after the small ones came in one stream.
MAX_BATCHED = 1 << 20
PARALLEL = 2

_READ = "/holdfast.v1.ArtifactService/ReadFile"


class Downloader:
    """Reads from snapshots."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._read: Any = channel.grpc.unary_stream(_READ, pb.ReadFileRequest.SerializeToString, None)

    def resolve(self, uri: str) -> list[artifact_pb.ArtifactLocation]:
        """The trees that together are what ``uri`` names."""
        method = self._channel.stub(ArtifactServiceStub).ResolveArtifact
        return list(self._channel.call(method, pb.ResolveArtifactRequest(uri=uri)).locations)

    def download(self, uri: str, target: Path, *, progress: Progress | None = None) -> None:
        """Write what ``uri`` names to ``target``: a file there, or a directory's contents below it.

        Files that are there are replaced; others stay. Each file appears under its name only when it is whole and has
        its digest.

        Raises:
            DataLossError: Bytes do not have their digest; the file is not written.
            LocalFileError: A name cannot be written here, or two names would be the same file.
        """
        locations = self.resolve(uri)
        with progress or Progress("downloading") as shown:
            if len(locations) == 1 and locations[0].kind == artifact_pb.ENTRY_KIND_FILE:
                self._download_file(locations[0], target, shown)
            else:
                self._download_trees(locations, target, shown)

    def _download_trees(
        self, locations: Sequence[artifact_pb.ArtifactLocation], target: Path, progress: Progress
    ) -> None:
        with local_errors(target):
            target.mkdir(parents=True, exist_ok=True)
        folding = is_folding(target)
        for location in locations:
            base = target
            if location.prefix:
                base = target / check_received_path(location.prefix)
                make_directory(base, {target})
            if folding:
                check_local_names([e.path for e, _ in self._read_files(location, 0)], folding=True)
            self._download_tree(location, base, progress, folding=folding)

    def stat(self, location: artifact_pb.ArtifactLocation) -> artifact_pb.Entry:
        """The entry of a file's location."""
        return next(self._list_pages(location, recursive=False))

    def read_bytes(self, uri: str) -> bytes:
        """The content of a file, verified.

        Raises:
            NotFoundError: The URI names a directory.
        """
        location = self._single_file(uri)
        parts: list[bytes] = []
        self._fetch(location, 0, 0, lambda _, data: parts.append(b"".join(data)))
        return b"".join(parts)

    def list(self, uri: str, path: str = "", *, recursive: bool = False) -> list[artifact_pb.Entry]:
        """Entries of one level, or all, below ``path`` of what ``uri`` names; paths are relative to ``uri``.

        A file gives itself.
        """
        found: dict[str, artifact_pb.Entry] = {}
        full = f"{uri.rstrip('/')}/{path}" if path else uri
        for location in self.resolve(full):
            if location.prefix:
                _add(found, location.prefix, artifact_pb.Entry(kind=artifact_pb.ENTRY_KIND_DIRECTORY))
                if not recursive:
                    continue
            for entry in self._list_pages(location, recursive=recursive):
                whole = "/".join(p for p in (path, location.prefix, _below(entry.path, location)) if p)
                _add(found, whole, entry)
        return [found[name] for name in sorted(found, key=str.encode)]

    def _list_pages(self, location: artifact_pb.ArtifactLocation, *, recursive: bool) -> Iterator[artifact_pb.Entry]:
        method = self._channel.stub(ArtifactServiceStub).ListFiles
        request = pb.ListFilesRequest(
            owner=location.owner, sequence=location.sequence, path=location.path, recursive=recursive, page_size=10_000
        )
        while True:
            response = self._channel.call(method, request)
            yield from response.entries
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def _single_file(self, uri: str) -> artifact_pb.ArtifactLocation:
        locations = self.resolve(uri)
        if len(locations) != 1 or locations[0].kind != artifact_pb.ENTRY_KIND_FILE:
            raise NotFoundError(f"{uri} is a directory, not a file.", reason="FILE_NOT_FOUND")
        return locations[0]

    def _download_tree(
        self, location: artifact_pb.ArtifactLocation, base: Path, progress: Progress, *, folding: bool
    ) -> None:
        large: list[tuple[artifact_pb.Entry, Path]] = []
        made: set[Path] = {base}
        for entry, data in self._read_files(location, MAX_BATCHED):
            name = check_received_path(_below(entry.path, location))
            check_local_names([name], folding=folding)
            local = base / name
            if entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY:
                make_directory(local, made)
                continue
            make_directory(local.parent, made)
            progress.expect(entry.size, files=1)
            if entry.size > MAX_BATCHED:
                large.append((entry, local))
            else:
                if hashlib.sha256(data).digest() != entry.digest:
                    raise damaged(entry.path)
                write_small(local, data, executable=entry.executable)
                progress.advance(entry.size)
        if large:
            self._download_large(location, large, progress)

    def _download_large(
        self,
        location: artifact_pb.ArtifactLocation,
        files: Sequence[tuple[artifact_pb.Entry, Path]],
        progress: Progress,
    ) -> None:
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="holdfast-get") as pool:
            started = [pool.submit(self._write_large, _file_of(location, e), local, progress) for e, local in files]
            try:
                for future in started:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _download_file(self, location: artifact_pb.ArtifactLocation, target: Path, progress: Progress) -> None:
        check_local_names([target.name], folding=False)
        with local_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        progress.expect(self.stat(location).size, files=1)
        self._write_large(location, target, progress)

    def _write_large(self, location: artifact_pb.ArtifactLocation, target: Path, progress: Progress) -> None:
        with partial_file(target) as (descriptor, finish):

            def write(offset: int, parts: Sequence[bytes | memoryview]) -> None:
                for part in parts:
                    write_at(descriptor, part, offset)
                    offset += len(part)
                    progress.advance(len(part))

            entry = self._fetch(location, 0, 0, write)
            finish(entry.executable)

    def _fetch(
        self,
        location: artifact_pb.ArtifactLocation,
        offset: int,
        limit: int,
        write: Callable[[int, Sequence[bytes | memoryview]], None],
    ) -> artifact_pb.Entry:
        """Read whole blocks that hold a range and hand each, verified, to ``write`` with its offset in the file.

        Goes on where it was when the connection breaks. Calls of ``write`` come from threads, in order.
        """
        reading = FileReading(location, offset, limit, write)
        with ThreadPoolExecutor(1, thread_name_prefix="holdfast-verify") as pool:
            return self._channel.run(lambda: reading.run(self._read, pool), position=lambda: reading.position)

    def read_range(self, location: artifact_pb.ArtifactLocation, offset: int, limit: int) -> tuple[int, bytes]:
        """Whole, verified blocks that hold a range, and the offset of the first one's beginning."""
        parts: list[tuple[int, bytes]] = []
        self._fetch(location, offset, limit, lambda at, data: parts.append((at, b"".join(data))))
        return (parts[0][0] if parts else offset), b"".join(data for _, data in parts)

    def _read_files(
        self, location: artifact_pb.ArtifactLocation, max_data_size: int
    ) -> Iterator[tuple[artifact_pb.Entry, bytes]]:
        """Entries with the data of those that are small enough; goes on where it was when the connection breaks."""
        method = self._channel.stub(ArtifactServiceStub).ReadFiles
        request = pb.ReadFilesRequest(
            owner=location.owner, sequence=location.sequence, path=location.path, max_data_size=max_data_size
        )
        while True:
            call = self._channel.run(lambda: start_call(method(request)))
            try:
                for entry, data in join_files(call, max_data_size):
                    yield entry, data
                    request.start_after = entry.path
                return
            except grpc.RpcError as error:
                failure = self._channel.translate(error)
                if not is_interruption(status_of(error), failure):
                    raise failure from None
            finally:
                call.cancel()


def _file_of(location: artifact_pb.ArtifactLocation, entry: artifact_pb.Entry) -> artifact_pb.ArtifactLocation:
    return artifact_pb.ArtifactLocation(
        owner=location.owner, sequence=location.sequence, path=entry.path, kind=entry.kind
    )


def _below(path: str, location: artifact_pb.ArtifactLocation) -> str:
    """The path relative to what the location names; empty for the file that it names."""
    if not location.path or path == location.path:
        return path if not location.path else ""
    return path[len(location.path) + 1 :]


def _add(found: dict[str, artifact_pb.Entry], path: str, entry: artifact_pb.Entry) -> None:
    copy = artifact_pb.Entry()
    copy.CopyFrom(entry)
    copy.path = path
    found[path] = copy
