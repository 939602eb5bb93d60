"""Digests of blocks, files and trees. ``docs/protocol.md`` specifies them for other languages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

BLOCK_SIZE = 8 << 20  # a constant of the format, not a setting
DIGEST_SIZE = 32
EMPTY_DIGEST = hashlib.sha256(b"").digest()
_FILE_PREFIX = b"holdfast-blocks-v1\0"
_TREE_PREFIX = b"holdfast-tree-v1\0"


class TreeItem(Protocol):
    """What a tree's digest is made of."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def is_directory(self) -> bool: ...  # noqa: D102
    @property
    def executable(self) -> bool: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> bytes: ...  # noqa: D102


def block_count(size: int) -> int:
    """Blocks of a file of ``size`` bytes."""
    return -(-size // BLOCK_SIZE)


def block_length(size: int, position: int) -> int:
    """Bytes of block number ``position`` of a file of ``size`` bytes."""
    return min(BLOCK_SIZE, size - position * BLOCK_SIZE)


def file_digest(block_digests: Sequence[bytes]) -> bytes:
    """The digest of a file with these blocks: 32 bytes.

    That of its block when it has one, so equal to ``sha256sum``; with more, SHA-256 over a prefix and their digests.
    The prefix keeps a crafted small file from passing for a large one.
    """
    if not block_digests:
        return EMPTY_DIGEST
    if len(block_digests) == 1:
        return block_digests[0]
    return hashlib.sha256(_FILE_PREFIX + b"".join(block_digests)).digest()


def bytes_digest(data: bytes | bytearray | memoryview) -> bytes:
    """The digest of a file with the content ``data``: 32 bytes."""
    view = memoryview(data)
    starts = range(0, len(view), BLOCK_SIZE)
    return file_digest([hashlib.sha256(view[start : start + BLOCK_SIZE]).digest() for start in starts])


def tree_digest(items: Iterable[TreeItem]) -> bytes:
    """The digest of a tree whose entries come sorted by the UTF-8 bytes of their paths: 32 bytes.

    SHA-256 over a prefix and, for each entry: length of the path (4 bytes, big-endian), the path, a byte of flags (1
    directory, 2 executable), the size (8 bytes, big-endian), and for files their digest.
    """
    digest = hashlib.sha256(_TREE_PREFIX)
    for item in items:
        path = item.path.encode()
        flags = (1 if item.is_directory else 0) | (2 if item.executable else 0)
        digest.update(len(path).to_bytes(4, "big") + path + bytes((flags,)) + item.size.to_bytes(8, "big"))
        if not item.is_directory:
            digest.update(item.digest)
    return digest.digest()
