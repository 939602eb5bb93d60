"""Downloads files and trees: verified, in bounded memory, and under their final names only when whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from holdfast._channel import Channel
from holdfast._transfer.names import check_local_names, is_folding
from holdfast._transfer.progress import Progress
from holdfast.errors import DataLossError, LocalFileError, NotFoundError
from holdfast.format.chunks import Chunk, decode_chunk
from holdfast.format.digests import BLOCK_SIZE, block_count, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub

# Larger files are read one by one, in parallel, after the small ones came in one stream.
MAX_BATCHED = 1 << 20
PARALLEL = 2
# Blocks of one file that are being verified and written while the next ones arrive.
WRITING = 2

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

    def download(self, uri: str, target: Path) -> None:
        """Write what ``uri`` names to ``target``: a file there, or a directory's contents below it.

        Files that are there are replaced; others stay. Each file appears under its name only when it is whole and has
        its digest.

        Raises:
            DataLossError: Bytes do not have their digest; the file is not written.
            LocalFileError: A name cannot be written here, or two names would be the same file.
        """
        locations = self.resolve(uri)
        if len(locations) == 1 and locations[0].kind == artifact_pb.ENTRY_KIND_FILE:
            self._download_file(locations[0], target)
            return
        target.mkdir(parents=True, exist_ok=True)
        folding = is_folding(target)
        for location in locations:
            base = target / location.prefix if location.prefix else target
            base.mkdir(parents=True, exist_ok=True)
            if folding:
                check_local_names([e.path for e, _ in self._read_files(location, 0)], folding=True)
            self._download_tree(location, base, folding=folding)

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

    def _download_tree(self, location: artifact_pb.ArtifactLocation, base: Path, *, folding: bool) -> None:
        large: list[tuple[artifact_pb.Entry, Path]] = []
        made: set[Path] = {base}
        for entry, data in self._read_files(location, MAX_BATCHED):
            name = _below(entry.path, location)
            check_local_names([name], folding=folding)
            local = base / name
            if entry.kind == artifact_pb.ENTRY_KIND_DIRECTORY:
                _make_directory(local, made)
                continue
            _make_directory(local.parent, made)
            if entry.size > MAX_BATCHED:
                large.append((entry, local))
            else:
                if hashlib.sha256(data).digest() != entry.digest:
                    raise _damaged(entry.path)
                _write_small(local, data, executable=entry.executable)
        if large:
            self._download_large(location, large)

    def _download_large(
        self, location: artifact_pb.ArtifactLocation, files: Sequence[tuple[artifact_pb.Entry, Path]]
    ) -> None:
        with (
            Progress("downloading", sum(entry.size for entry, _ in files)) as progress,
            ThreadPoolExecutor(PARALLEL, thread_name_prefix="holdfast-get") as pool,
        ):
            started = [pool.submit(self._write_large, _file_of(location, e), local, progress) for e, local in files]
            try:
                for future in started:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _download_file(self, location: artifact_pb.ArtifactLocation, target: Path) -> None:
        check_local_names([target.name], folding=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Progress("downloading", None) as progress:
            self._write_large(location, target, progress)

    def _write_large(self, location: artifact_pb.ArtifactLocation, target: Path, progress: Progress) -> None:
        with _partial(target) as (descriptor, finish):

            def write(offset: int, parts: Sequence[bytes | memoryview]) -> None:
                for part in parts:
                    _pwrite(descriptor, part, offset)
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
        reading = _FileReading(location, offset, limit, write)
        with ThreadPoolExecutor(1, thread_name_prefix="holdfast-verify") as pool:
            return self._channel.run(lambda: reading.run(self._read, pool))

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
            call = self._channel.run(lambda: _started(method(request)))
            try:
                for entry, data in _joined(call, max_data_size):
                    yield entry, data
                    request.start_after = entry.path
                return
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise self._channel.translate(error) from None
            finally:
                call.cancel()


class _FileReading:
    """A ReadFile call that can be begun again where it broke."""

    def __init__(
        self,
        location: artifact_pb.ArtifactLocation,
        offset: int,
        limit: int,
        write: Callable[[int, Sequence[bytes | memoryview]], None],
    ) -> None:
        self._location, self._write = location, write
        self._next, self._end = offset, offset + limit if limit else None
        self._entry: artifact_pb.Entry | None = None
        self._digests: list[bytes] = []
        self._whole = offset == 0 and limit == 0

    def run(self, read: Callable[[pb.ReadFileRequest], Iterator[bytes]], pool: ThreadPoolExecutor) -> artifact_pb.Entry:
        request = pb.ReadFileRequest(
            owner=self._location.owner, sequence=self._location.sequence, path=self._location.path, offset=self._next
        )
        if self._end is not None:
            request.limit = self._end - self._next
        if self._entry is not None:
            request.expected_digest = self._entry.digest
            if self._next >= (self._entry.size if self._end is None else min(self._end, self._entry.size)):
                return self._entry
        call = read(request)
        writing: deque[Future[None]] = deque()
        try:
            header = pb.ReadFileResponse.FromString(next(call)).header
            self._entry, self._next = header.entry, header.start_offset
            for digest, parts in _blocks(call):
                size = sum(len(part) for part in parts)
                writing.append(pool.submit(self._verified_write, digest, parts, self._next))
                self._next += size
                self._digests.append(digest)
                while len(writing) > WRITING:
                    writing.popleft().result()
            if self._next < header.end_offset:
                raise _damaged(self._location.path)
        except StopIteration:
            raise _damaged(self._location.path) from None
        finally:
            call.cancel()  # type: ignore[attr-defined]  # the iterator is a call
            for future in writing:
                future.result()
        if self._whole and (
            len(self._digests) != block_count(self._entry.size) or file_digest(self._digests) != self._entry.digest
        ):
            raise _damaged(self._location.path)
        return self._entry

    def _verified_write(self, digest: bytes, parts: Sequence[bytes | memoryview], offset: int) -> None:
        actual = hashlib.sha256()
        for part in parts:
            actual.update(part)
        if actual.digest() != digest:
            raise _damaged(self._location.path)
        self._write(offset, parts)


def _blocks(messages: Iterator[bytes]) -> Iterator[tuple[bytes, list[bytes | memoryview]]]:
    """Whole blocks of a ReadFile stream: digest and parts."""
    digest, missing = b"", 0
    parts: list[bytes | memoryview] = []
    for raw in messages:
        chunk = decode_chunk(raw)
        if chunk is None:
            message = pb.ReadFileResponse.FromString(raw).chunk
            chunk = Chunk(message.digest, message.size, message.data)
        if chunk.digest:
            digest, missing, parts = chunk.digest, min(chunk.size, BLOCK_SIZE), []
        parts.append(chunk.data)
        missing -= len(chunk.data)
        if missing <= 0:
            yield digest, parts
            parts = []


def _joined(messages: Iterator[pb.ReadFilesResponse], max_data_size: int) -> Iterator[tuple[artifact_pb.Entry, bytes]]:
    """Entries of a ReadFiles stream with their data put together."""
    entry: artifact_pb.Entry | None = None
    parts: list[bytes] = []
    missing = 0
    for message in messages:
        for part in message.parts:
            if part.HasField("entry"):
                if missing:
                    raise _damaged(entry.path if entry else "")
                entry, parts = part.entry, []
                missing = entry.size if entry.size <= max_data_size else 0
            parts.append(part.data)
            missing -= len(part.data)
            if not missing and entry is not None:
                yield entry, b"".join(parts)
    if missing:
        raise _damaged(entry.path if entry else "")


class _Call(Iterator[pb.ReadFilesResponse]):
    """A call whose first message is already here."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: list[pb.ReadFilesResponse] = []
        with contextlib.suppress(StopIteration):
            self._first.append(next(call))

    def __next__(self) -> pb.ReadFilesResponse:
        return self._first.pop() if self._first else next(self._call)

    def cancel(self) -> None:
        self._call.cancel()


def _started(call: Any) -> _Call:
    """Wait for the first message, so that a server that is not there is noticed where it is retried."""
    return _Call(call)


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


def _damaged(path: str) -> DataLossError:
    return DataLossError(
        f"What came for {path!r} does not have its digest, and nothing of it was written. Try again; if it stays so, "
        "the server's store is damaged.",
        reason="DATA_LOSS",
    )


def _make_directory(path: Path, made: set[Path]) -> None:
    if path not in made:
        path.mkdir(parents=True, exist_ok=True)
        made.add(path)


def _write_small(target: Path, data: bytes, *, executable: bool) -> None:
    with _partial(target) as (descriptor, finish):
        _pwrite(descriptor, data, 0)
        finish(executable)


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[tuple[int, Callable[[bool], None]]]:
    """A temporary file beside ``target`` that takes its name when ``finish`` is called, and vanishes otherwise."""
    if target.is_dir():
        raise LocalFileError(
            f"{target} is a directory here and a file in the artifacts. Download to another directory."
        )
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    finished = False

    def finish(executable: bool) -> None:
        nonlocal finished
        if executable:
            mode = os.fstat(descriptor).st_mode
            temporary.chmod(mode | (mode & 0o444) >> 2)
        finished = True

    try:
        try:
            yield descriptor, finish
        finally:
            os.close(descriptor)
        if finished:
            temporary.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _pwrite(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
