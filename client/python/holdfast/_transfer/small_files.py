"""Writes small files from threads while more of them arrive."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from holdfast._transfer.progress import Progress
from holdfast._transfer.receiving import damaged
from holdfast._transfer.stopping import Stopping
from holdfast._transfer.writing import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, cannot_write, in_the_way, write_small

if TYPE_CHECKING:
    from typing_extensions import Self

# A file costs the system some ten microseconds, in which another thread can run.
THREADS = 2
# What a thread takes at once, and how many of those wait: it bounds the memory that a slow disk costs.
BATCH_FILES = 64
BATCH_BYTES = 1 << 20
WAITING = 4


class SmallFile(NamedTuple):
    """A file that came whole, and where it goes."""

    target: str
    path: str
    digest: bytes
    data: bytes
    executable: bool


class SmallFileWriter:
    """Verifies and writes what it is given; as a context manager it leaves no thread behind.

    Each file appears under its name when it is whole, in the order of ``add`` but for the few that are on their way.
    """

    def __init__(self, stopping: Stopping, progress: Progress) -> None:
        self._stopping, self._progress = stopping, progress
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="holdfast-write")
        self._batch: list[SmallFile] = []
        self._size = 0
        self._waiting: deque[Future[None]] = deque()
        self._token, self._numbers = secrets.token_hex(8), itertools.count()

    def add(self, file: SmallFile) -> None:
        """Take a file; waits while too many are on their way.

        Raises:
            DataLossError: One of those before does not have its digest; it is not written.
            LocalFileError: One of those before cannot be written.
        """
        self._batch.append(file)
        self._size += len(file.data)
        if len(self._batch) >= BATCH_FILES or self._size >= BATCH_BYTES:
            self._hand_over()

    def finish(self) -> None:
        """Wait until all are written; raises as ``add`` does."""
        self._hand_over()
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stopping.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _hand_over(self) -> None:
        while len(self._waiting) >= WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, self._batch))
        self._batch, self._size = [], 0

    def _write(self, batch: list[SmallFile]) -> None:
        for target, path, digest, data, executable in batch:
            self._stopping.check()
            if hashlib.sha256(data).digest() != digest:
                raise damaged(path)
            # A name of its own, so that downloads to one place do not write into each other's files.
            name = f"{TEMPORARY_PREFIX}{self._token}-{next(self._numbers)}{TEMPORARY_SUFFIX}"
            try:
                write_small(target, data, name, executable=executable)
            except OSError as error:
                raise in_the_way(target) if os.path.isdir(target) else cannot_write(target, error) from error
        self._progress.advance(sum(len(file.data) for file in batch))
