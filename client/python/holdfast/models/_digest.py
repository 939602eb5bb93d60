"""Digests of files, and the files of a package.

``holdfast.format.digests`` says what the digest of a file is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from holdfast.format import digests

__all__ = ["bytes_digest", "file_digest", "files_below"]


def bytes_digest(data: bytes) -> bytes:
    """Return the 32-byte digest of a file with the content ``data``."""
    view = memoryview(data)
    starts = range(0, len(view), digests.BLOCK_SIZE)
    return digests.file_digest([hashlib.sha256(view[start : start + digests.BLOCK_SIZE]).digest() for start in starts])


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
