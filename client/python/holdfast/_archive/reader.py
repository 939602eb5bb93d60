"""Reads an archive. Whoever made it, what is handed out was checked before, and the file has not changed since."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from holdfast._archive.members import (
    END,
    FILE_PREFIX,
    FORMAT,
    FORMAT_VERSION,
    HEAD,
    MAX_DOCUMENT,
    MAX_LINE,
    RECORD,
    SUMS,
    damaged,
    not_ours,
    padding,
    parse_header,
)
from holdfast._transfer.sources import Source, stamp_of
from holdfast.errors import InvalidArgumentError, LocalFileError
from holdfast.format.digests import BLOCK_SIZE, file_digest

_READ = 1 << 20


class Archive:
    """An archive of which every bit was checked when it was opened.

    Attributes:
        id: Names what is in it: SHA-256 over the digests of all members.
        head: What it says of itself.
    """

    def __init__(self, path: Path) -> None:
        """Read the whole of a file.

        Raises:
            FileNotFoundError: It is not there.
            InvalidArgumentError: It is no archive, or one of a newer format.
            DataLossError: It is cut off, or a bit of it changed.
        """
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._files: dict[bytes, tuple[int, int]] = {}
        with path.open("rb") as stream:
            self._stamp = stamp_of(os.fstat(stream.fileno()))
            self.id = self._check(stream, os.fstat(stream.fileno()).st_size)
        self.head = self.document(HEAD)
        if self.head.get("format") != FORMAT:
            raise not_ours("it does not say that it is one")
        if self.head.get("format_version") != FORMAT_VERSION:
            raise InvalidArgumentError(
                f"The archive has format {self.head.get('format_version')!r:.20}, and this client reads format "
                f"{FORMAT_VERSION}. Update the client."
            )

    def has(self, name: str) -> bool:
        """Whether there is a member of this name."""
        return name in self._places

    def document(self, name: str) -> Any:
        """A member as JSON.

        Raises:
            InvalidArgumentError: It is not there, or no JSON object.
        """
        offset, size = self._place(name)
        if size > MAX_DOCUMENT:
            raise not_ours(f"{name} has {size} bytes")
        with self._open() as stream:
            stream.seek(offset)
            found = _parse(name, stream.read(size))
        if not isinstance(found, dict):
            raise not_ours(f"{name} is no JSON object")
        return found

    def lines(self, name: str) -> Iterator[Any]:
        """The lines of a member, each JSON."""
        offset, left = self._place(name)
        with self._open() as stream:
            stream.seek(offset)
            while left:
                line = stream.readline(min(left, MAX_LINE))
                left -= len(line)
                if not line.endswith(b"\n"):
                    raise not_ours(f"{name} has a line that does not end")
                yield _parse(name, line)

    def size_of(self, digest: bytes) -> int | None:
        """Bytes of the file of this digest; None when there is none."""
        place = self._files.get(digest)
        return None if place is None else place[1]

    def source(self, path: str, digest: bytes, *, executable: bool) -> Source:
        """The file of a digest, to be put at ``path`` of a tree straight from the archive."""
        offset, size = self._files[digest]
        local = os.fspath(self._path)
        return Source(path, local, size, executable, stamp=self._stamp, offset=offset)

    @property
    def digests(self) -> set[bytes]:
        """Digests of all files in it."""
        return set(self._files)

    @property
    def folders(self) -> list[str]:
        """Where its logged models are, such as ``models/m-…/``."""
        return [name[: -len("model.json")] for name in self._places if name.endswith("/model.json")]

    def _place(self, name: str) -> tuple[int, int]:
        if name not in self._places:
            raise not_ours(f"it has no {name}")
        return self._places[name]

    def _open(self) -> BinaryIO:
        stream = self._path.open("rb")
        if stamp_of(os.fstat(stream.fileno())) != self._stamp:
            stream.close()
            raise LocalFileError(f"{self._path} changed while it was imported. Import it again when it is whole.")
        return stream

    def _check(self, stream: BinaryIO, length: int) -> str:
        """Compare every member with its digest; returns the archive's id."""
        sums: dict[str, str] = {}
        listed = b""
        while (block := stream.read(RECORD)) != END[:RECORD]:
            name, size = self._begin_member(block, stream.tell(), length)
            if name.startswith(FILE_PREFIX):
                self._check_file(stream, name, size)
            elif name == SUMS:
                listed = stream.read(size) if size <= MAX_DOCUMENT else b""
            else:
                sums[name] = _sha256(stream, size)
            if any(stream.read(padding(size))):
                raise damaged(f"what follows {name} is not empty")
        if stream.read(RECORD + 1) != END[RECORD:] or SUMS not in self._places:
            raise damaged("it is cut off")
        document = json.dumps({"files": len(self._files), "members": sums}, sort_keys=True, indent=1).encode()
        if document != listed:
            raise damaged("a member does not have its digest")
        return hashlib.sha256(listed + b"".join(sorted(self._files))).hexdigest()

    def _begin_member(self, block: bytes, offset: int, length: int) -> tuple[str, int]:
        found = parse_header(block) if len(block) == RECORD else None
        if found is None:
            if not self._places:
                raise not_ours("it does not begin as one")
            raise damaged("a header in it changed" if len(block) == RECORD else "it is cut off")
        name, size = found
        if offset + size + padding(size) > length:
            raise damaged("it is cut off")
        if SUMS in self._places:
            raise damaged("something follows its list of digests")
        if name in self._places or (not self._places and name != HEAD):
            raise not_ours(f"its member {name} is not where it belongs")
        self._places[name] = (offset, size)
        return name, size

    def _check_file(self, stream: BinaryIO, name: str, size: int) -> None:
        blocks: list[bytes] = []
        for start in range(0, size, BLOCK_SIZE):
            block = stream.read(min(BLOCK_SIZE, size - start))
            blocks.append(hashlib.sha256(block).digest())
        digest = bytes.fromhex(name[len(FILE_PREFIX) :])
        if file_digest(blocks) != digest:
            raise damaged(f"{name} does not have its digest")
        self._files[digest] = self._places[name]


def _sha256(stream: BinaryIO, size: int) -> str:
    content = hashlib.sha256()
    while size:
        data = stream.read(min(_READ, size))
        if not data:
            raise damaged("it is cut off")
        content.update(data)
        size -= len(data)
    return content.hexdigest()


def _parse(name: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise not_ours(f"{name} is not JSON") from None
