"""Where the files of a package are, and how each is read: whole, and checked against what is known to be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.errors import DataLossError, InvalidArgumentError, NotFoundError
from holdfast.format.digests import bytes_digest
from holdfast.models._digest import FileDigest, file_digest, files_below

if TYPE_CHECKING:
    from holdfast._transfer.snapshot_files import SnapshotFiles
    from holdfast.models._cache import ModelCache
    from holdfast.v1 import artifact_pb2

__all__ = ["LocalFiles", "PackageFiles", "StoredFiles", "check_inside"]


class PackageFiles(Protocol):
    """The files of one package."""

    def names(self) -> Iterable[str]:
        """Paths of all files, sorted."""

    def size(self, path: str) -> int:
        """Bytes of a file."""

    def read(self, path: str) -> bytes | bytearray:
        """The content of a file.

        Raises:
            InvalidArgumentError: The path leads out of the package.
            NotFoundError: There is no such file.
            DataLossError: The content is not what the server says that it is.
        """


def check_inside(path: Any) -> str:
    """Return ``path`` in its plain form, if it is a relative path that stays where it begins.

    Raises:
        InvalidArgumentError: It is no text, is absolute, has ``..``, a backslash or a NUL in it, or is empty.
    """
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if not parts or parts[0] == "/" or ".." in parts or "\\" in str(path) or "\0" in str(path):
        raise InvalidArgumentError(f"MLmodel names the file {path!r}, which is not a path inside the package.")
    return "/".join(parts)


class LocalFiles:
    """Files of a directory of this machine.

    Attributes:
        directory: The directory.
    """

    def __init__(self, directory: Path, pinned: Mapping[str, FileDigest] | None = None) -> None:
        """Take the files of ``directory``; ``pinned`` is what the server said of each, when they were downloaded."""
        self.directory = directory
        self._pinned = pinned

    def names(self) -> Iterable[str]:
        """Paths of all files, sorted."""
        return files_below(self.directory)

    def describe(self, path: str) -> FileDigest:
        """Size and digest of a file, which reads it."""
        file = self.path(path)
        return FileDigest(file.stat().st_size, file_digest(file).hex())

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return self.path(path).stat().st_size

    def read(self, path: str) -> bytes | bytearray:
        """The content of a file; one behind a link that leaves the directory is refused."""
        data = self.path(path).read_bytes()
        if self._pinned is not None:
            _check(path, data, self._pinned.get(path))
        return data

    def path(self, path: str) -> Path:
        """Where a file is, for what does not take bytes. What is there may change after it was checked."""
        file = self.directory / check_inside(path)
        if not file.resolve().is_relative_to(self.directory.resolve()):
            raise InvalidArgumentError(f"MLmodel names the file {path!r}, which is not a path inside the package.")
        if not file.is_file():
            raise _missing(path)
        return file


class StoredFiles:
    """Files of a server, fetched when they are asked for."""

    def __init__(
        self,
        snapshot: SnapshotFiles,
        entries: Mapping[str, artifact_pb2.Entry],
        small: Mapping[str, bytes],
        cache: ModelCache | None,
    ) -> None:
        """Take files by path below the package.

        Args:
            snapshot: Reads them.
            entries: Their descriptions.
            small: The contents that came with them.
            cache: Where what was fetched is kept; None for nowhere.
        """
        self._snapshot, self._entries, self._small, self._cache = snapshot, entries, small, cache

    def names(self) -> Iterable[str]:
        """Paths of all files, sorted."""
        return sorted(self._entries)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return self._entry(path).size

    def read(self, path: str) -> bytes | bytearray:
        """The content of a file, from the cache where it is there and sound."""
        entry = self._entry(path)
        cached = self._cache.get(entry.digest, entry.size) if self._cache is not None else None
        if cached is not None:
            return cached
        data = self._small[path] if path in self._small else self._snapshot.read(entry)
        if self._cache is not None:
            self._cache.put(entry.digest, data)
        return data

    def _entry(self, path: str) -> artifact_pb2.Entry:
        entry = self._entries.get(check_inside(path))
        if entry is None:
            raise _missing(path)
        return entry


def _missing(path: str) -> NotFoundError:
    return NotFoundError(f"MLmodel names the file {path!r}, which the package does not have.")


def _check(path: str, data: bytes, expected: FileDigest | None) -> None:
    if expected is None or len(data) != expected.size or bytes_digest(data).hex() != expected.digest:
        raise DataLossError(
            f"{path} is not the file that the server has: it was changed after the download. Download the model again."
        )
