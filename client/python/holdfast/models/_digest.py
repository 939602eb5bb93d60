"""Digests of files, and the files of a package.

``holdfast.format.digests`` says what the digest of a file is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.format import digests

__all__ = ["FileDigest", "file_digest", "files_below"]


@dataclass(frozen=True)
class FileDigest:
    """Size and digest (64 hex digits) of one file of a package."""

    size: int
    digest: str


def file_digest(path: Path) -> bytes:
    """Return the 32-byte digest of the file at ``path``, reading one block at a time."""
    blocks = []
    with path.open("rb") as file:
        while block := file.read(digests.BLOCK_SIZE):
            blocks.append(hashlib.sha256(block).digest())
    return digests.file_digest(blocks)


def files_below(root: Path) -> Iterator[str]:
    """Yield the paths of all files below ``root``, relative to it, with ``/`` between components, sorted."""
    found: list[str] = []
    for directory, _, names in os.walk(root):
        base = Path(directory).relative_to(root)
        found.extend((base / name).as_posix() for name in names)
    yield from sorted(found)
