"""Where bytes are put that cannot wait in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class SpoolFile(Protocol):
    """Bytes on a disk, gone when they are closed or the process ends. Methods block; call them from threads."""

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Put bytes behind those that are there.

        Raises:
            Unavailable: The disk is full or fails.
        """
        ...

    def read(self) -> bytes:
        """All bytes; raises as ``append`` does."""
        ...

    def close(self) -> None:
        """Forget them; waits for a method that is at work in another thread."""
        ...


class Spool(Protocol):
    """Makes files for what has to wait."""

    def open(self) -> SpoolFile:
        """An empty file; takes nothing of the disk before something is appended, and does not block."""
        ...
