"""Puts the messages of ReadFile and ReadFiles streams together, verified."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import grpc

from holdfast._transfer.stopping import Stopping
from holdfast.errors import DataLossError
from holdfast.format.chunks import Chunk, decode_chunk
from holdfast.format.digests import BLOCK_SIZE, block_count, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb

# Blocks of one file that are being verified and written while the next ones arrive.
WRITING = 2

Parts = Sequence["bytes | memoryview"]


class FileReading:
    """A ReadFile call, for whole blocks of one file, that can be begun again where it broke.

    Attributes:
        position: Offset after the last whole block that came.
        digests: Digest of each block that came, by its number. That each block has its digest is checked; that the
            digests are the file's is for ``check_whole``, unless ``known`` said what they are.
    """

    def __init__(
        self,
        location: artifact_pb.ArtifactLocation,
        write: Callable[[int, Parts], None],
        *,
        stopping: Stopping,
        offset: int = 0,
        limit: int = 0,
        known: Sequence[bytes] = (),
    ) -> None:
        """Prepare to read.

        Args:
            location: The file.
            write: Takes the parts of each verified block, with its offset in the file; from a thread, in order.
            stopping: Ends it early.
            offset: Where to begin: a multiple of the block size.
            limit: How many bytes; 0 for all.
            known: The digests of all of the file's blocks, where they are known.
        """
        self.position = offset
        self.digests: dict[int, bytes] = {}
        self._location, self._write, self._stopping, self._known = location, write, stopping, known
        self._end = offset + limit if limit else None
        self._entry: artifact_pb.Entry | None = None

    def run(self, read: Callable[[pb.ReadFileRequest], Any], pool: ThreadPoolExecutor) -> artifact_pb.Entry:
        """Read, or go on reading, to the end."""
        request = pb.ReadFileRequest(
            owner=self._location.owner, sequence=self._location.sequence, path=self._location.path, offset=self.position
        )
        if self._end is not None:
            request.limit = self._end - self.position
        if self._entry is not None:
            request.expected_digest = self._entry.digest
            if self.position >= (self._entry.size if self._end is None else min(self._end, self._entry.size)):
                return self._entry
        writing: deque[Future[None]] = deque()
        try:
            with self._stopping.watch(read(request)) as call:
                self._entry = self._receive(call, pool, writing)
        except grpc.RpcError:
            _finish(writing)  # they count as having come
            raise
        except BaseException:
            for waiting in writing:
                waiting.cancel()
            wait(writing)
            raise
        _finish(writing)
        return self._entry

    def _receive(
        self, call: Iterator[bytes], pool: ThreadPoolExecutor, writing: deque[Future[None]]
    ) -> artifact_pb.Entry:
        first = next(call, None)
        if first is None:
            raise damaged(self._location.path)
        header = pb.ReadFileResponse.FromString(first).header
        self._entry, self.position = header.entry, header.start_offset
        for digest, parts in _blocks(call):
            number = self.position // BLOCK_SIZE
            if self._known and self._known[number : number + 1] != [digest]:
                raise damaged(self._location.path)
            writing.append(pool.submit(self._verified_write, digest, parts, self.position))
            self.digests[number] = digest
            self.position += sum(map(len, parts))
            while len(writing) > WRITING:
                writing.popleft().result()
        if self.position < header.end_offset:
            raise damaged(self._location.path)
        return header.entry

    def _verified_write(self, digest: bytes, parts: Parts, offset: int) -> None:
        actual = hashlib.sha256()
        for part in parts:
            self._stopping.check()
            actual.update(part)
        if actual.digest() != digest:
            raise damaged(self._location.path)
        self._write(offset, parts)


class FilesReading:
    """A ReadFiles call that can be begun again where it broke.

    Attributes:
        position: Path of the last entry that came whole.
    """

    def __init__(
        self,
        location: artifact_pb.ArtifactLocation,
        take: Callable[[artifact_pb.Entry, bytes], bool],
        *,
        stopping: Stopping,
        max_data_size: int,
        start_after: str = "",
    ) -> None:
        """Prepare to read.

        Args:
            location: A file, or a directory.
            take: Takes each entry in order, with its data; tells whether to go on. An entry keeps the whole message in
                memory that it came with: what is to be kept longer must be copied out of it.
            stopping: Ends it early.
            max_data_size: Larger files come without data.
            start_after: The path after which to begin.
        """
        self._take, self._stopping = take, stopping
        self._request = pb.ReadFilesRequest(
            owner=location.owner,
            sequence=location.sequence,
            path=location.path,
            max_data_size=max_data_size,
            start_after=start_after,
        )

    def run(self, read: Callable[[pb.ReadFilesRequest], Any]) -> None:
        """Read, or go on reading, to the end, or until ``take`` wants no more."""
        with self._stopping.watch(read(self._request)) as call:
            for entry, data in join_files(call, self._request.max_data_size):
                if not self._take(entry, data):
                    return
                self._request.start_after = entry.path

    @property
    def position(self) -> str:
        return self._request.start_after


def join_files(
    messages: Iterable[pb.ReadFilesResponse], max_data_size: int
) -> Iterator[tuple[artifact_pb.Entry, bytes]]:
    """Entries of a ReadFiles stream with their data put together."""
    entry: artifact_pb.Entry | None = None
    parts: list[bytes] = []
    missing = 0
    for message in messages:
        for part in message.parts:
            data = part.data
            if part.HasField("entry"):
                if missing:
                    raise damaged(entry.path if entry else "")
                entry = part.entry
                wanted = entry.size if entry.size <= max_data_size else 0
                if len(data) == wanted:  # as nearly all do
                    yield entry, data
                    continue
                parts, missing = [], wanted
            parts.append(data)
            missing -= len(data)
            if entry is None or missing < 0:
                raise damaged(entry.path if entry else "")
            if not missing:
                yield entry, b"".join(parts)
    if missing:
        raise damaged(entry.path if entry else "")


def check_whole(path: str, size: int, digest: bytes, block_digests: Mapping[int, bytes]) -> None:
    """A file that came whole must have its digest, not only its blocks theirs.

    Raises:
        DataLossError: It has not.
    """
    digests = [block_digests[number] for number in sorted(block_digests)]
    if len(digests) != block_count(size) or file_digest(digests) != digest:
        raise damaged(path)


def damaged(path: str) -> DataLossError:
    """The error for bytes that are not what they should be."""
    return DataLossError(
        f"What came for {path!r} does not have its digest, and nothing of it was written. Try again; if it stays so, "
        "the server's store is damaged.",
        reason="DATA_LOSS",
    )


def _blocks(messages: Iterable[bytes]) -> Iterator[tuple[bytes, list[bytes | memoryview]]]:
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


def _finish(writing: deque[Future[None]]) -> None:
    while writing:
        writing.popleft().result()
