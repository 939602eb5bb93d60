"""Keeps what came of a block until all of it is here."""

from __future__ import annotations

import asyncio

from holdfast_server.domain.artifacts import NewBlock
from holdfast_server.rpc.block_assembly import BlockAssembler
from holdfast_server.rpc.byte_budget import PATIENCE, Share
from holdfast_server.services.ports.spool import Spool, SpoolFile

# Bytes of a block in a file that may wait for the next write.
STEP = 64 << 10


class ArrivingBlock:
    """The block that a stream is sending: in memory within the budget, or in a file when it comes slowly.

    A block has room for all of it before any of it is kept. Streams that took room as the bytes come could all stand
    half-way and wait for each other. But then a few peers that stall, or are merely slow, would hold all the room and
    nobody else could send: so when others wait, a block that is not here after ``PATIENCE`` goes on in a file.
    """

    def __init__(self, share: Share, assembler: BlockAssembler, spool: Spool) -> None:
        self._share, self._assembler, self._spool = share, assembler, spool
        self._file: SpoolFile | None = None
        self._began = 0.0
        self._is_slow = False

    async def begin(self, size: int) -> None:
        """Take room for a block whose chunks begin to arrive; one before it that was cut short is forgotten."""
        if self._is_slow and not self._share.has_free(size):
            self.close()
            self._file = self._spool.open()  # the block before was slow: do not even wait
            self._began = _now()
        else:
            await self.take(size)

    async def take(self, size: int) -> None:
        """Take room for blocks that came as a whole."""
        self.close()
        await self._share.acquire(size)
        self._began = _now()

    async def keep(self) -> None:
        """Write what the assembler has of a block that is in a file, when it is worth it."""
        if self._file is not None and self._assembler.kept >= STEP:
            await asyncio.to_thread(self._file.append, self._assembler.take_parts())

    async def give_way(self) -> None:
        """Go on in a file when others have waited for the room for long.

        Raises:
            Unavailable: The disk cannot take it; the room is to be given back all the same.
        """
        if self._share.is_overdue:
            self._file = self._spool.open()
            await asyncio.to_thread(self._file.append, self._assembler.take_parts())
            self._share.keep(0)

    async def finish(self, blocks: list[NewBlock]) -> tuple[list[NewBlock], int]:
        """The blocks with all their bytes, and the room that they have, which the caller gives back."""
        self._is_slow = _now() - self._began >= PATIENCE
        if self._file is not None:
            (block,) = blocks
            await self._share.acquire(block.size)
            data = await asyncio.to_thread(self._file.read)
            blocks = [NewBlock(block.digest, (data, *block.parts), block.size)]
            self._close_file()
        return blocks, self._share.hand_over()

    def close(self) -> None:
        """Forget what is kept, and give the room back."""
        self._share.keep(0)
        self._assembler.take_parts()
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            # In a thread: it may have to wait for one that still writes.
            asyncio.get_running_loop().run_in_executor(None, self._file.close)
            self._file = None


def _now() -> float:
    return asyncio.get_running_loop().time()
