"""A segment: records one after the other in a file that is mapped into memory, and how far they are delivered."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from zlib import crc32

from holdfast._journal import records

SIZE = 4 << 20
_MAGIC = b"holdfast-journal"
# A counter, the position that all before is delivered, and their CRC-32. Two of them take turns, so that one is whole.
_MARK = struct.Struct("<QQI")
_MARKS = (32, 64)
_CHECKSUM_SIZE = 4
START = 96


class Segment:
    """Memory that survives its process, where it belongs to a file. Writing there costs no call of the system.

    Attributes:
        path: The file; None for a segment that is in memory only.
        buffer: The bytes.
        size: How many these are.
        end: Where the next record goes. Records before it are whole.
        delivered: All records before this position are delivered.
    """

    __slots__ = ("_turn", "buffer", "delivered", "end", "path", "size")

    def __init__(self, buffer: mmap.mmap, path: Path | None = None) -> None:
        self.path, self.buffer, self.size = path, buffer, len(buffer)
        self.end = START
        self._turn, self.delivered = max(self._mark(place) for place in _MARKS)

    @classmethod
    def create(cls, path: Path) -> Segment:
        """Make an empty segment in a new file.

        Raises:
            OSError: There is no room, or no file can be made.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Space is taken now: writing to mapped memory that the disk has no room for kills the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, SIZE)
            else:
                os.write(descriptor, bytes(SIZE))
            buffer = mmap.mmap(descriptor, SIZE)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)
        buffer[: len(_MAGIC)] = _MAGIC
        return cls(buffer, path)

    @classmethod
    def in_memory(cls) -> Segment:
        """Make an empty segment that ends with the process."""
        return cls(mmap.mmap(-1, SIZE))

    @classmethod
    def open(cls, path: Path) -> Segment:
        """Open what another process left; records end before the first that is not whole.

        Raises:
            ValueError: The file is no segment.
            OSError: It cannot be read.
        """
        with path.open("r+b") as file:
            buffer = mmap.mmap(file.fileno(), 0)  # an empty file is a ValueError
        if buffer[: len(_MAGIC)] != _MAGIC or len(buffer) < START:
            raise ValueError(f"{path} is not a segment of a journal")
        segment = cls(buffer, path)
        for end, _ in records.bodies(buffer, START, segment.size, verify=True):
            segment.end = end
        return segment

    def append(self, record: bytes) -> bool:
        """Write a record at the end; False when it does not fit."""
        start = self.end
        if start + len(record) > self.size:
            return False
        self.buffer[start : start + len(record)] = record
        self.end = start + len(record)
        return True

    def note_delivered(self, position: int) -> None:
        """Remember, also beyond this process, that all before ``position`` is delivered."""
        self._turn += 1
        place = _MARKS[self._turn % 2]
        mark = _MARK.pack(self._turn, position, 0)[:-_CHECKSUM_SIZE]
        self.buffer[place : place + _MARK.size] = mark + crc32(mark).to_bytes(_CHECKSUM_SIZE, "little")
        self.delivered = position

    def close(self) -> None:
        """Let go of the memory."""
        self.buffer.close()

    def remove(self) -> None:
        """Let go of the memory and remove the file."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _mark(self, place: int) -> tuple[int, int]:
        turn, position, checksum = _MARK.unpack_from(self.buffer, place)
        whole = crc32(self.buffer[place : place + _MARK.size - _CHECKSUM_SIZE]) == checksum
        return (turn, position) if whole and turn else (0, START)
