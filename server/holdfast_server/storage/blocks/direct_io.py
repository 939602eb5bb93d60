"""Writes that go around the page cache (O_DIRECT)."""

from __future__ import annotations

import errno
import mmap
import os
import queue
from collections.abc import Sequence
from pathlib import Path

from holdfast.format.digests import BLOCK_SIZE

# What the data's place in memory, in the file, and its length must be multiples of; enough for every common disk.
ALIGNMENT = 4096
# Smaller writes gain nothing.
SMALLEST = 1 << 20
_UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY)


class DirectWriter:
    """Writes new files of whole pages past the page cache, where the file system can; elsewhere it declines.

    A block that was just written is seldom read soon, and through the page cache it costs a copy and fresh memory.
    Above all it delays others: on ext4 each fsync, also the database's, waits for all new data of other files.
    """

    def __init__(self) -> None:
        # As many buffers as threads ever wrote at once; aligned memory, used again and again.
        self._buffers: queue.SimpleQueue[mmap.mmap] = queue.SimpleQueue()
        self._supported = hasattr(os, "O_DIRECT")

    def write(self, path: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Make the file and write it, synced; False, and no file, when this is nothing for direct writes.

        Raises:
            OSError: As of any write; what is there of the file is the caller's to remove.
        """
        size = sum(len(part) for part in parts)
        if not self._supported or not SMALLEST <= size <= BLOCK_SIZE or size % ALIGNMENT:
            return False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_DIRECT, 0o600)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._supported = False
            return False
        try:
            self._write(descriptor, parts, size)
            os.fsync(descriptor)  # the file's length and place, and the disk's own cache
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # It opens such files and does not write them, as with larger pages than ours.
            self._supported = False
            Path(path).unlink()
            return False
        finally:
            os.close(descriptor)
        return True

    def _write(self, descriptor: int, parts: Sequence[bytes | memoryview], size: int) -> None:
        try:
            buffer = self._buffers.get_nowait()
        except queue.Empty:
            buffer = mmap.mmap(-1, BLOCK_SIZE)
        try:
            with memoryview(buffer) as view:
                at = 0
                for part in parts:
                    view[at : at + len(part)] = part
                    at += len(part)
                written = 0
                while written < size:
                    # A disk that fills up writes less: on from the last whole page, to hear why.
                    count = os.pwrite(descriptor, view[written:size], written) // ALIGNMENT * ALIGNMENT
                    if not count:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    written += count
        finally:
            self._buffers.put(buffer)
