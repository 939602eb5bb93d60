"""A cache of models on disk, kept only where ``HOLDFAST_CACHE`` names a directory.

Files are named by their digest, and so are lists of files, so nothing in the cache can stand for something else: what
is read is hashed and compared, and what is damaged is removed and counts as absent. That makes it safe to share
between processes, servers and users who trust the directory with the models' content, if not with its truth.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast._config import cache_directory, cache_size
from holdfast.format.digests import bytes_digest

if TYPE_CHECKING:
    from holdfast.v1 import artifact_pb2

__all__ = ["CacheUsage", "ModelCache", "chosen_cache"]

# What a writer that died left behind is removed after so many seconds.
_ABANDONED = 86_400
_FILES, _TREES, _NEW = "files", "trees", "new"


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """What a cache holds.

    Attributes:
        files: How many files of models.
        size: Bytes on disk, of lists too.
        capacity: Most bytes that it is let to hold.
    """

    files: int
    size: int
    capacity: int


def chosen_cache(environ: Mapping[str, str] | None = None) -> ModelCache | None:
    """The cache that ``HOLDFAST_CACHE`` and ``HOLDFAST_CACHE_SIZE`` describe; None when there is to be none.

    Raises:
        InvalidArgumentError: The size is none.
    """
    directory = cache_directory(environ)
    return None if directory is None else ModelCache(directory, cache_size(environ))


class ModelCache:
    """Files by digest in a directory, the least recently used of which go when there are too many bytes.

    A cache that cannot be written to, for want of space or permission, keeps nothing and fails nothing.
    """

    def __init__(self, directory: Path, capacity: int) -> None:
        """Take ``directory``, which is made when something is put into it, for up to ``capacity`` bytes."""
        self._directory = directory
        self._capacity = capacity

    def get(self, digest: bytes, size: int) -> bytes | None:
        """The content of the file of this digest and size; None when it is not there, or not sound."""
        file = self._place(_FILES, digest)
        data = _read(file)
        if data is None:
            return None
        if len(data) != size or bytes_digest(data) != digest:
            _remove(file)
            return None
        _use(file)
        return data

    def put(self, digest: bytes, data: bytes | bytearray) -> None:
        """Keep a file, whose digest the caller has checked."""
        self._write(self._place(_FILES, digest), data)

    def get_tree(self, digest: bytes) -> list[artifact_pb2.Entry] | None:
        """The entries of a tree as they were put; the caller checks their digest. None when they are not there."""
        from holdfast.v1 import artifact_pb2

        file = self._place(_TREES, digest)
        data = _read(file)
        if data is None:
            return None
        try:
            entries = [
                artifact_pb2.Entry(path=path, kind=kind, executable=executable, size=size, digest=bytes.fromhex(hexed))
                for path, kind, executable, size, hexed in json.loads(data)
            ]
        except (ValueError, TypeError, RecursionError):
            _remove(file)
            return None
        _use(file)
        return entries

    def put_tree(self, digest: bytes, entries: Iterable[artifact_pb2.Entry]) -> None:
        """Keep the entries of a tree."""
        rows = [[entry.path, entry.kind, entry.executable, entry.size, entry.digest.hex()] for entry in entries]
        self._write(self._place(_TREES, digest), json.dumps(rows).encode())

    def usage(self) -> CacheUsage:
        """What it holds."""
        found = [(kind, size) for kind in (_FILES, _TREES) for _, size, _ in self._kept(kind)]
        return CacheUsage(
            files=sum(kind == _FILES for kind, _ in found),
            size=sum(size for _, size in found),
            capacity=self._capacity,
        )

    def clear(self) -> CacheUsage:
        """Remove everything; returns what there was."""
        before = self.usage()
        for kind in (_FILES, _TREES, _NEW):
            for file, _, _ in list(self._kept(kind)):
                _remove(file)
        return before

    def _place(self, kind: str, digest: bytes) -> Path:
        text = digest.hex()
        return self._directory / kind / text[:2] / text

    def _write(self, file: Path, data: bytes | bytearray) -> None:
        if len(data) > self._capacity:
            return
        with contextlib.suppress(OSError):
            new = self._directory / _NEW
            new.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=new)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                Path(name).replace(file)
            except BaseException:
                _remove(Path(name))
                raise
            self._evict(file)

    def _evict(self, newest: Path) -> None:
        """Remove what was used longest ago until the rest fits; several processes may do so at once."""
        kept = [item for kind in (_FILES, _TREES) for item in self._kept(kind)]
        size = sum(item[1] for item in kept)
        if size > self._capacity:
            for file, length, _ in sorted(kept, key=lambda item: item[2]):
                if size <= self._capacity:
                    break
                if file != newest:
                    _remove(file)
                    size -= length
        abandoned = time.time() - _ABANDONED
        for file, _, used in list(self._kept(_NEW)):
            if used < abandoned:
                _remove(file)

    def _kept(self, kind: str) -> Iterator[tuple[Path, int, float]]:
        """Files with their sizes and when each was last used."""
        for folder, _, names in os.walk(self._directory / kind):
            for name in names:
                file = Path(folder, name)
                with contextlib.suppress(OSError):  # another process removed it
                    status = file.stat()
                    yield file, status.st_size, status.st_mtime


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _use(file: Path) -> None:
    # The time of access is not kept on many file systems.
    with contextlib.suppress(OSError):
        os.utime(file)


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
