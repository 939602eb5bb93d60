"""Streams files to readers, verified block by block, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import Entry, FileBlock
from holdfast_server.rpc.byte_budget import ByteBudget, Share
from holdfast_server.rpc.convert.artifacts import describe_entry
from holdfast_server.services.artifacts import ArtifactService

CHUNK = 1 << 20
# Blocks of one stream that are read ahead of the network.
READ_AHEAD = 2


class FileSender:
    """Reads blocks ahead within the budget and cuts them into messages."""

    def __init__(self, service: ArtifactService, budget: ByteBudget) -> None:
        self._service, self._budget = service, budget

    async def send_range(self, entry: Entry, first: int, last: int) -> AsyncIterator[bytes]:
        """Serialized chunks of the blocks from position ``first`` to before ``last``."""
        async for block in self._read_ahead(self._service.list_blocks(entry, first, last)):
            digest = block.digest
            for start in range(0, await block.size(), CHUNK):
                yield encode_chunk(Chunk(digest, await block.size() if digest else 0, await block.part(start)))
                digest = b""

    async def send_files(
        self, entries: Sequence[Entry], max_data_size: int
    ) -> AsyncIterator[service_pb.ReadFilesResponse]:
        """Messages with files: small ones together, larger ones in pieces, those over ``max_data_size`` without."""
        wanted = [e for e in entries if 0 < e.size <= max_data_size]
        blocks = await self._service.list_blocks_of(wanted)
        for batch in _batches(entries, max_data_size):
            if 0 < batch[0].size <= max_data_size and batch[0].size > CHUNK:
                async for message in self._pieces(batch[0], blocks[batch[0].file_id]):
                    yield message
                continue
            # It is in memory twice, as data and as message. The message stays there until the peer takes it; who stalls
            # gives way all the same, as elsewhere the one message that a stream waits with is not counted either.
            share = Share(self._budget)
            await share.acquire(2 * CHUNK)
            try:
                message = await self._batch(batch, blocks, max_data_size)
                share.lend()
                yield message
            finally:
                share.keep(0)

    async def _batch(
        self, entries: Sequence[Entry], blocks: dict[int, list[FileBlock]], max_data_size: int
    ) -> service_pb.ReadFilesResponse:
        wanted = {e.file_id: blocks[e.file_id][0] for e in entries if 0 < e.size <= max_data_size}
        found = dict(zip(wanted, await self._service.read_blocks(list(wanted.values())), strict=True))
        message = service_pb.ReadFilesResponse()
        for entry in entries:
            part = message.parts.add()
            describe_entry(part.entry, entry)
            if 0 < entry.size <= max_data_size:
                part.data = found[entry.file_id]
        return message

    async def _pieces(self, entry: Entry, blocks: Sequence[FileBlock]) -> AsyncIterator[service_pb.ReadFilesResponse]:
        async def listed() -> AsyncIterator[FileBlock]:
            for block in blocks:
                yield block

        first = True
        async for block in self._read_ahead(listed()):
            for start in range(0, await block.size(), CHUNK):
                message = service_pb.ReadFilesResponse()
                part = message.parts.add(data=bytes(await block.part(start)))
                if first:
                    describe_entry(part.entry, entry)
                yield message
                first = False

    async def _read_ahead(self, blocks: AsyncIterator[FileBlock]) -> AsyncIterator[_HeldBlock]:
        """Each block; it is held until the next one is asked for."""
        ahead: deque[_HeldBlock] = deque()
        following = await anext(blocks, None)
        try:
            while following is not None or ahead:
                while following is not None and len(ahead) < READ_AHEAD:
                    # Only the first may wait for the budget: waiting for a second while holding one could starve.
                    if ahead and self._budget.limit - self._budget.used < BLOCK_SIZE:
                        break
                    block = _HeldBlock(self._service, self._budget, following)
                    await block.begin()
                    ahead.append(block)
                    following = await anext(blocks, None)
                if ahead:
                    block = ahead.popleft()
                    try:
                        yield block
                    finally:
                        block.close()
        finally:
            for block in ahead:
                block.close()


class _HeldBlock:
    """A block in memory, read again if its room had to be given back while the peer took nothing of it."""

    def __init__(self, service: ArtifactService, budget: ByteBudget, block: FileBlock) -> None:
        self._service, self._block = service, block
        self._share = Share(budget)
        self._reading: asyncio.Task[None] | None = None
        self._data: bytes | None = None
        self.digest = block.digest

    async def begin(self) -> None:
        """Take room for it, and begin to read it."""
        await self._share.acquire(self._block.extent.length)
        self._reading = asyncio.create_task(self._read())

    async def size(self) -> int:
        """Its size in bytes."""
        return len(await self._whole())

    async def part(self, start: int) -> memoryview:
        """The chunk from ``start`` on; hold it no longer than until something is yielded."""
        data = await self._whole()
        self._share.touch()
        return memoryview(data)[start : start + CHUNK]

    def close(self) -> None:
        """Give its room back."""
        if self._reading is not None and not self._reading.cancel() and not self._reading.cancelled():
            self._reading.exception()  # nobody else looks
        self._drop()
        self._share.keep(0)

    async def _whole(self) -> bytes:
        while self._data is None:
            if self._reading is None:
                await self.begin()
            assert self._reading is not None
            await self._reading
        return self._data

    async def _read(self) -> None:
        (self._data,) = await self._service.read_blocks([self._block])
        self._share.lend(self._drop)

    def _drop(self) -> None:
        self._reading = self._data = None


def _batches(entries: Sequence[Entry], max_data_size: int) -> Iterator[list[Entry]]:
    """Runs of entries with about ``CHUNK`` bytes together; one that has more, and comes with data, alone."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        added = (entry.size if entry.size <= max_data_size else 0) + 256  # what an entry itself takes, roughly
        if batch and size + added > CHUNK:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += added
    if batch:
        yield batch
