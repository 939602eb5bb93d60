"""Who counts blocks."""

from __future__ import annotations

from typing import Protocol


class BlockObserver(Protocol):
    """Is told which blocks moved; called from the event loop."""

    def received(self, blocks: int, size: int, *, new: int, new_size: int) -> None:
        """So many blocks came with their bytes and were stored; those that were not new were sent in vain."""
        ...

    def spared(self, blocks: int, size: int) -> None:
        """A client was told that so many blocks are here, and need not be sent."""
        ...

    def read(self, blocks: int, size: int) -> None:
        """So many blocks were read, and had their digests, to be sent."""
        ...
