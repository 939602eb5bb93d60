"""Reads files once, cuts them into blocks and hashes those, in threads and in bounded memory."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import BinaryIO

from holdfast._transfer.following import END_SECONDS, LOOK_SECONDS
from holdfast._transfer.sources import Source, stamp_of
from holdfast.errors import InvalidArgumentError, LocalFileError
from holdfast.format.digests import BLOCK_SIZE

THREADS = 2
# Bytes that are read ahead of the network, in batches of at most BLOCK_SIZE; and batches, when they are of small files.
READ_AHEAD = 2 * BLOCK_SIZE
MAX_BATCHES = 4
# Small files of one batch; a task each would cost more than reading them.
BATCH_FILES = 128


@dataclass(slots=True)
class HashedBlock:
    """A block in memory, and the file that it belongs to (its index among the sources)."""

    source: int
    digest: bytes
    data: bytes | bytearray | memoryview


@dataclass(slots=True)
class _Piece:
    """A part of a file: the whole of a small one, or one block of a large one."""

    index: int
    source: Source
    offset: int
    length: int


@dataclass(slots=True)
class _Task:
    pieces: list[_Piece] = field(default_factory=list)
    size: int = 0


class SourceHashing:
    """Batches of hashed blocks of at most ``BLOCK_SIZE`` bytes, in the order of the sources. An empty file has one too.

    Iterate it once, in any thread, and close it, in any thread: an error such as Ctrl-C that ends the iteration would
    keep its threads for as long as somebody holds the error.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._tasks = _tasks(sources)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="holdfast-hash")
        self._ahead: deque[tuple[Future[list[HashedBlock]], int]] = deque()
        self._size = 0

    def start(self) -> None:
        """Begin to read, before the first batch is asked for."""
        while len(self._ahead) < MAX_BATCHES and self._size + BLOCK_SIZE <= READ_AHEAD:
            task = next(self._tasks, None)
            if task is None:
                return
            self._ahead.append((self._pool.submit(_run, task), task.size))
            self._size += task.size

    def __iter__(self) -> Iterator[list[HashedBlock]]:
        """The batches.

        Raises:
            LocalFileError: A file changed since it was found, or cannot be read.
        """
        self.start()
        while self._ahead:
            first, size = self._ahead[0]
            # Not for ever at once: a Ctrl-C that comes just before a wait begins does not end it.
            while wait([first], LOOK_SECONDS).not_done:
                pass
            self._ahead.popleft()
            self._size -= size
            batch = first.result()
            del first
            yield batch
            del batch
            self.start()

    def close(self) -> None:
        """End the threads; one whose disk does not answer ends by itself when it does, so that Ctrl-C need not wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        ahead = list(self._ahead)  # another thread may still be taking from it
        wait([future for future, _ in ahead if not future.cancelled()], END_SECONDS)


def hash_stream(stream: BinaryIO) -> Iterator[list[HashedBlock]]:
    """The same for a stream of unknown length, as source 0."""
    while data := _read_full(stream):
        yield [HashedBlock(0, hashlib.sha256(data).digest(), data)]
        if len(data) < BLOCK_SIZE:
            return


def _tasks(sources: Iterable[Source]) -> Iterator[_Task]:
    task = _Task()
    for index, source in enumerate(sources):
        if source.is_directory:
            continue
        # At least one piece, also of an empty file: whether it changed is seen when it is opened.
        for offset in range(0, source.size or 1, BLOCK_SIZE):
            length = min(BLOCK_SIZE, source.size - offset)
            if task.pieces and (task.size + length > BLOCK_SIZE or len(task.pieces) >= BATCH_FILES):
                yield task
                task = _Task()
            task.pieces.append(_Piece(index, source, offset, length))
            task.size += length
    if task.pieces:
        yield task


def _run(task: _Task) -> list[HashedBlock]:
    blocks = []
    for piece in task.pieces:
        data = _read(piece)
        blocks.append(HashedBlock(piece.index, hashlib.sha256(data).digest(), data))
    return blocks


def _read(piece: _Piece) -> bytes | bytearray:
    source = piece.source
    if source.data is not None:
        return source.data[piece.offset : piece.offset + piece.length]
    assert source.local is not None
    try:
        descriptor = os.open(source.local, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        try:
            data = _pread(descriptor, piece.length, source.offset + piece.offset)
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LocalFileError(f"{source.local} cannot be read: {error.strerror}.") from error
    if len(data) != piece.length or stamp_of(status) != source.stamp:
        raise LocalFileError(
            f"{source.local} changed while it was logged; nothing of this call is kept. Log it again when it is whole."
        )
    return data


def _pread(descriptor: int, length: int, offset: int) -> bytes | bytearray:
    if not hasattr(os, "preadv"):  # Windows
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)
    if length <= 64 << 10:
        return os.pread(descriptor, length, offset)
    buffer = bytearray(length)
    view, done = memoryview(buffer), 0
    while done < length:
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            return buffer[:done]
        done += count
    return buffer


def _read_full(stream: BinaryIO) -> bytes:
    """A whole block, or what is left; a stream may give less than asked for at a time."""
    parts, missing = [], BLOCK_SIZE
    while missing:
        part = stream.read(missing)
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise InvalidArgumentError(
                f"A stream to log gives bytes, and this one gave {type(part).__name__}: open files with mode 'rb', and "
                "streams blocking."
            )
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
