"""Digests of files, and of all files in a package.

A file's digest is SHA-256 of its content while that fits one block of 8 MiB; beyond, SHA-256 over
``holdfast-blocks-v1``, a zero byte and the SHA-256 of each block. docs/protocol.md specifies it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["bytes_digest", "file_digest", "files_below"]

_BLOCK_BYTES = 8 << 20
_PREFIX = b"holdfast-blocks-v1\0"


def bytes_digest(data: bytes | memoryview) -> bytes:
    """Return the 32-byte digest of a file with the content ``data``."""
    view = memoryview(data)
    blocks = [
        hashlib.sha256(view[start : start + _BLOCK_BYTES]).digest() for start in range(0, len(view), _BLOCK_BYTES)
    ]
    return _join(blocks)


def file_digest(path: str | os.PathLike[str]) -> bytes:
    """Return the 32-byte digest of the file at ``path``, reading one block at a time."""
    blocks = []
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            blocks.append(hashlib.sha256(block).digest())
    return _join(blocks)


def _join(blocks: list[bytes]) -> bytes:
    if len(blocks) == 1:
        return blocks[0]
    return hashlib.sha256(_PREFIX + b"".join(blocks) if blocks else b"").digest()


def files_below(root: Path) -> Iterator[str]:
    """Yield the paths of all files below ``root``, relative to it, with ``/`` between components, sorted."""
    found: list[str] = []
    for directory, _, names in os.walk(root):
        base = Path(directory).relative_to(root)
        found.extend((base / name).as_posix() for name in names)
    yield from sorted(found)
