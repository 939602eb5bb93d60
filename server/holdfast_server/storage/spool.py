"""Files without a name for bytes that cannot wait in memory."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast_server.errors import Unavailable


class DirectorySpool:
    """Implements ``Spool`` by nameless files of a directory: nothing of them is left after a kill, nor synced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> NamelessFile:
        """An empty file."""
        return NamelessFile(self._directory)


class NamelessFile:
    """Implements ``SpoolFile``; there is nothing on the disk before something is appended."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # A thread may still write when its caller was cancelled and closes: the number of a file that was closed may
        # be another's by then.
        self._lock = threading.Lock()
        self._file: io.FileIO | None = None
        self._closed = False

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Put bytes behind those that are there."""
        with self._lock, _unavailable():
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115 - see ``close``
            for part in parts:
                left = memoryview(part)
                while left:
                    left = left[self._file.write(left) :]

    def read(self) -> bytes:
        """All bytes."""
        with self._lock, _unavailable():
            if self._file is None:
                return b""
            self._file.seek(0)
            return self._file.readall()

    def close(self) -> None:
        """Forget them."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "it fails"
        raise Unavailable(
            f"The block arrives slowly and cannot be kept on the server's disk: {why}. Send it again."
        ) from error
