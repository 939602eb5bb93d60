"""Puts the messages of ReadFile and ReadFiles streams together, verified."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from holdfast.errors import DataLossError
from holdfast.format.chunks import Chunk, decode_chunk
from holdfast.format.digests import BLOCK_SIZE, block_count, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb

# Blocks of one file that are being verified and written while the next ones arrive.
WRITING = 2


class FileReading:
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
                return self._checked(self._entry)
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
                raise damaged(self._location.path)
        except StopIteration:
            raise damaged(self._location.path) from None
        finally:
            call.cancel()  # type: ignore[attr-defined]  # the iterator is a call
            for future in writing:
                future.result()
        return self._checked(self._entry)

    @property
    def position(self) -> int:
        """Offset after the last byte that came."""
        return self._next

    def _checked(self, entry: artifact_pb.Entry) -> artifact_pb.Entry:
        """A file that came whole must have its digest, not only its blocks theirs."""
        whole = len(self._digests) == block_count(entry.size) and file_digest(self._digests) == entry.digest
        if self._whole and not whole:
            raise damaged(self._location.path)
        return entry

    def _verified_write(self, digest: bytes, parts: Sequence[bytes | memoryview], offset: int) -> None:
        actual = hashlib.sha256()
        for part in parts:
            actual.update(part)
        if actual.digest() != digest:
            raise damaged(self._location.path)
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


def join_files(
    messages: Iterator[pb.ReadFilesResponse], max_data_size: int
) -> Iterator[tuple[artifact_pb.Entry, bytes]]:
    """Entries of a ReadFiles stream with their data put together."""
    entry: artifact_pb.Entry | None = None
    parts: list[bytes] = []
    missing = 0
    for message in messages:
        for part in message.parts:
            if part.HasField("entry"):
                if missing:
                    raise damaged(entry.path if entry else "")
                entry, parts = part.entry, []
                missing = entry.size if entry.size <= max_data_size else 0
            parts.append(part.data)
            missing -= len(part.data)
            if not missing and entry is not None:
                yield entry, b"".join(parts)
    if missing:
        raise damaged(entry.path if entry else "")


class StartedCall(Iterator[pb.ReadFilesResponse]):
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


def start_call(call: Any) -> StartedCall:
    """Wait for the first message, so that a server that is not there is noticed where it is retried."""
    return StartedCall(call)


def damaged(path: str) -> DataLossError:
    return DataLossError(
        f"What came for {path!r} does not have its digest, and nothing of it was written. Try again; if it stays so, "
        "the server's store is damaged.",
        reason="DATA_LOSS",
    )
