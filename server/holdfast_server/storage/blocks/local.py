"""Objects as files of a local directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast_server.errors import Unavailable
from holdfast_server.services.ports.artifacts import StoredObject
from holdfast_server.storage.blocks.direct_io import DirectWriter
from holdfast_server.storage.durability import sync_directory

_TEMPORARY = ".incoming"
# Far longer than any write takes: a temporary file of this age was left by a process that was killed.
_TEMPORARY_KEPT_S = 24 * 3600


class LocalObjectStore:
    """Implements ``ObjectStore``: write to a temporary name, fsync, rename, fsync the directory.

    A key is a relative path such as ``blocks/ab/<hex>.<random>``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._incoming = directory / _TEMPORARY
        self._direct = DirectWriter()
        # Directories whose entries above them this process has seen synced. That one is there says nothing: another
        # writer may just have made it. Threads add to the set without a lock and at worst sync twice.
        self._durable: set[Path] = set()

    def put(
        self,
        key: str,
        parts: Sequence[bytes | memoryview],
        sha256: bytes | None = None,  # noqa: ARG002 - the port's
    ) -> None:
        """Store the concatenated parts, durable when this returns."""
        target = self._directory / key
        temporary = self._incoming / secrets.token_hex(16)
        try:
            self._make_directory(target.parent)
            if not self._direct.write(os.fspath(temporary), parts):
                _write_synced(temporary, parts)
            temporary.rename(target)
            sync_directory(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise Unavailable(f"The block store cannot be written: {error.strerror}. Nothing was kept.") from error

    def get(self, key: str, offset: int, length: int, *, patient: bool = True) -> bytes:  # noqa: ARG002 - the port's
        """Read a part of an object."""
        try:
            descriptor = os.open(self._directory / key, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, length, offset)
                while len(data) < length:
                    more = os.pread(descriptor, length - len(data), offset + len(data))
                    if not more:
                        break
                    data += more
                return data
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise KeyError(key) from None
        except OSError as error:
            raise Unavailable(f"The block store cannot be read: {error.strerror}.") from error

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is passed over."""
        (self._directory / key).unlink(missing_ok=True)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose keys begin with ``prefix``, in no order; what cannot be looked at is passed over."""
        for folder, names, files in os.walk(self._directory):
            if _TEMPORARY in names:
                names.remove(_TEMPORARY)
            for name in files:
                path = Path(folder, name)
                key = path.relative_to(self._directory).as_posix()
                if key.startswith(prefix):
                    with contextlib.suppress(OSError):
                        status = path.stat()
                        yield StoredObject(key, status.st_size, status.st_mtime_ns // 1_000_000)

    def check(self) -> None:
        """Create the directory when absent, make sure that it can be written, and remove what killed writers left."""
        try:
            self._make_directory(self._incoming)
        except OSError as error:
            raise Unavailable(f"The block store's directory cannot be used: {error.strerror}.") from error
        if not os.access(self._incoming, os.W_OK):
            raise Unavailable("The block store's directory is not writable for the server's user.")
        self.remove_unfinished(int((time.time() - _TEMPORARY_KEPT_S) * 1000))

    def remove_unfinished(self, before_ms: int) -> int:
        """Remove temporary files last written before a time; returns how many. Errors are passed over."""
        removed = 0
        with contextlib.suppress(OSError):
            for path in self._incoming.iterdir():
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime * 1000 < before_ms:
                        path.unlink()
                        removed += 1
        return removed

    def _make_directory(self, path: Path) -> None:
        """Make a directory and those above it durable, down from the store's own."""
        if path in self._durable and path.is_dir():
            return
        if path != self._directory:
            self._make_directory(path.parent)
        path.mkdir(mode=0o700, parents=path == self._directory, exist_ok=True)
        sync_directory(path.parent)
        self._durable.add(path)


def _write_synced(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Make a file and write it, synced."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, parts)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write all parts, however many the system takes at once."""
    pending = [memoryview(part) for part in parts if len(part)]
    while pending:
        written = os.writev(descriptor, pending[:512])
        while pending and written >= len(pending[0]):
            written -= len(pending[0])
            del pending[0]
        if written:
            pending[0] = pending[0][written:]
