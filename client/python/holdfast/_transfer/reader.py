"""A file of a snapshot as a seekable, binary Python file that fetches only what is read."""

from __future__ import annotations

import io

from holdfast._transfer.downloading import Downloader
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_pb2 as artifact_pb


class ArtifactReader(io.RawIOBase):
    """Reads ranges, each block verified. Keeps the block that was read last.

    Wrap it in ``io.BufferedReader`` for line-wise or small reads, as ``open`` does.
    """

    def __init__(self, downloader: Downloader, location: artifact_pb.ArtifactLocation, size: int) -> None:
        self._downloader, self._location, self._size = downloader, location, size
        self._position = 0
        self._block_start, self._block = 0, b""

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; positions past the end read as empty."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def readinto(self, buffer: object) -> int:
        """Fill ``buffer`` from the block at this position; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any writable buffer
        if self._position >= self._size or not view:
            return 0
        if not self._block_start <= self._position < self._block_start + len(self._block):
            start = self._position // BLOCK_SIZE * BLOCK_SIZE
            self._block_start, self._block = self._downloader.read_range(self._location, start, BLOCK_SIZE)
        inner = self._position - self._block_start
        count = min(len(view), len(self._block) - inner)
        view[:count] = self._block[inner : inner + count]
        self._position += count
        return count
