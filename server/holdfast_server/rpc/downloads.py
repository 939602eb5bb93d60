"""Streams files to readers, verified block by block, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import Entry, FileBlock
from holdfast_server.rpc.byte_budget import ByteBudget
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
        async for block, data in self._read_ahead(self._service.list_blocks(entry, first, last)):
            view, digest = memoryview(data), block.digest
            for start in range(0, len(data), CHUNK):
                yield encode_chunk(Chunk(digest, len(data) if digest else 0, view[start : start + CHUNK]))
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
            # Held until the peer took the batch and asks for the next: it is in memory twice, as data and as message.
            await self._budget.acquire(2 * CHUNK)
            try:
                yield await self._batch(batch, blocks, max_data_size)
            finally:
                self._budget.release(2 * CHUNK)

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
        async for _, data in self._read_ahead(listed()):
            for start in range(0, len(data), CHUNK):
                message = service_pb.ReadFilesResponse()
                part = message.parts.add(data=data[start : start + CHUNK])
                if first:
                    describe_entry(part.entry, entry)
                yield message
                first = False

    async def _read_ahead(self, blocks: AsyncIterator[FileBlock]) -> AsyncIterator[tuple[FileBlock, bytes]]:
        """Each block with its data; the budget holds it until the next one is asked for."""
        ahead: deque[tuple[FileBlock, asyncio.Task[list[bytes]]]] = deque()
        following = await anext(blocks, None)
        try:
            while following is not None or ahead:
                while following is not None and len(ahead) < READ_AHEAD:
                    # Only the first may wait for the budget: waiting for a second while holding one could starve.
                    if ahead and self._budget.limit - self._budget.used < BLOCK_SIZE:
                        break
                    await self._budget.acquire(following.extent.length)
                    ahead.append((following, asyncio.create_task(self._service.read_blocks([following]))))
                    following = await anext(blocks, None)
                if ahead:
                    block, task = ahead.popleft()
                    try:
                        yield block, (await task)[0]
                    finally:
                        self._budget.release(block.extent.length)
        finally:
            for block, task in ahead:
                task.cancel()
                self._budget.release(block.extent.length)


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
