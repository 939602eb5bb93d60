"""Writes an archive: member after member, under its name only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from holdfast._archive.members import END, FILE_PREFIX, MAX_DOCUMENT, SUMS, header, padding
from holdfast._transfer.writing import cannot_write
from holdfast.errors import HoldfastError, InvalidArgumentError

Write = Callable[["bytes | memoryview"], None]


@contextlib.contextmanager
def new_archive(path: Path) -> Iterator[ArchiveWriter]:
    """An archive that stands at ``path``, durable, when the block ends well, and nowhere when it does not.

    Raises:
        LocalFileError: It cannot be written there.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as stream:
            writer = ArchiveWriter(stream)
            yield writer
            writer.finish()
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        if isinstance(error, HoldfastError):  # about something else
            raise
        raise cannot_write(path, error, "Export to another place.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync_directory(folder: Path) -> None:
    """Make a new name in a directory durable, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class ArchiveWriter:
    """Adds members to a file that can be written again where it was written before."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sums: dict[str, str] = {}
        self._files: set[bytes] = set()

    def add_document(self, name: str, document: Any) -> None:
        """Add something as JSON.

        Raises:
            InvalidArgumentError: It is too large to be read again.
        """
        data = json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode()
        if len(data) > MAX_DOCUMENT:
            raise InvalidArgumentError(
                f"{name} of this export would take {len(data)} bytes; the limit is {MAX_DOCUMENT}. "
                "Remove params or tags that are no longer needed.",
                reason="LIMIT_EXCEEDED",
            )
        with self.lines(name) as write:
            write(data)

    @contextlib.contextmanager
    def lines(self, name: str) -> Iterator[Write]:
        """Add a text that is written piece by piece."""
        content = hashlib.sha256()
        with self._member(name) as write:

            def write_and_hash(data: bytes | memoryview) -> None:
                content.update(data)
                write(data)

            yield write_and_hash
        self._sums[name] = content.hexdigest()

    def has_file(self, digest: bytes) -> bool:
        """Whether the content of this digest is in the archive already."""
        return digest in self._files

    @contextlib.contextmanager
    def file(self, digest: bytes) -> Iterator[Write]:
        """Add the content of a file; whoever writes it makes sure that it has the digest."""
        with self._member(FILE_PREFIX + digest.hex()) as write:
            yield write
        self._files.add(digest)

    def finish(self) -> None:
        """Add the digests of all members and the end."""
        document = {"files": len(self._files), "members": self._sums}
        with self._member(SUMS) as write:
            write(json.dumps(document, sort_keys=True, indent=1).encode())
        self._stream.write(END)

    @contextlib.contextmanager
    def _member(self, name: str) -> Iterator[Write]:
        start = self._stream.tell()
        size = 0
        self._stream.write(header(name, 0))

        def write(data: bytes | memoryview) -> None:
            nonlocal size
            size += len(data)
            self._stream.write(data)

        yield write
        self._stream.write(bytes(padding(size)))
        end = self._stream.tell()
        # The size is known only now.
        self._stream.seek(start)
        self._stream.write(header(name, size))
        self._stream.seek(end)
