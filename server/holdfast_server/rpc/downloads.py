"""Streams files to readers, verified block by block, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import Entry, FileBlock
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.convert.artifacts import entry_to_proto
from holdfast_server.services.artifacts import ArtifactService

CHUNK = 1 << 20
# Blocks of one stream that are read ahead of the network.
READ_AHEAD = 2


class IdleWatchdog:
    """Cancels the current task when nobody says ``progress`` for some seconds: a peer that takes nothing."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._last = self._loop.time()
        self._handle = self._loop.call_later(timeout, self._check)

    def progress(self) -> None:
        """Something moved."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """The stream is over."""
        self._handle.cancel()

    def _check(self) -> None:
        left = self._last + self._timeout - self._loop.time()
        if left <= 0 and self._task is not None:
            self._task.cancel("the peer took nothing for too long")
        else:
            self._handle = self._loop.call_later(max(left, 0.01), self._check)


class FileSender:
    """Reads blocks ahead within the budget and cuts them into messages."""

    def __init__(self, service: ArtifactService, budget: ByteBudget, idle_timeout: float) -> None:
        self._service, self._budget, self._idle_timeout = service, budget, idle_timeout

    async def send_range(self, entry: Entry, first: int, last: int) -> AsyncIterator[bytes]:
        """Serialized chunks of the blocks from position ``first`` to before ``last``."""
        watchdog = IdleWatchdog(self._idle_timeout)
        try:
            async for block, data in self._read_ahead(self._service.list_blocks(entry, first, last)):
                view, digest = memoryview(data), block.digest
                for start in range(0, len(data), CHUNK):
                    yield encode_chunk(Chunk(digest, len(data) if digest else 0, view[start : start + CHUNK]))
                    watchdog.progress()
                    digest = b""
        finally:
            watchdog.stop()

    async def send_files(
        self, entries: Sequence[Entry], max_data_size: int
    ) -> AsyncIterator[list[service_pb.FilePart]]:
        """Batches of parts: small files together, larger ones in pieces, those over ``max_data_size`` without data."""
        watchdog = IdleWatchdog(self._idle_timeout)
        wanted = [e for e in entries if 0 < e.size <= max_data_size]
        blocks = await self._service.list_blocks_of(wanted)
        try:
            batch: list[Entry] = []
            size = 0
            for entry in entries:
                data_size = entry.size if entry.size <= max_data_size else 0
                if batch and size + data_size > CHUNK:
                    yield await self._batch(batch, blocks, max_data_size)
                    watchdog.progress()
                    batch, size = [], 0
                if data_size > CHUNK:
                    async for parts in self._pieces(entry, blocks[entry.file_id]):
                        yield parts
                        watchdog.progress()
                    continue
                batch.append(entry)
                size += data_size + 256  # what an entry itself takes, roughly
            if batch:
                yield await self._batch(batch, blocks, max_data_size)
        finally:
            watchdog.stop()

    async def _batch(
        self, entries: Sequence[Entry], blocks: dict[int, list[FileBlock]], max_data_size: int
    ) -> list[service_pb.FilePart]:
        included = [e for e in entries if 0 < e.size <= max_data_size]
        wanted = {e.file_id: blocks[e.file_id][0] for e in included}
        await self._budget.acquire(2 * CHUNK)
        try:
            found = dict(zip(wanted, await self._service.read_blocks(list(wanted.values())), strict=True))
        finally:
            self._budget.release(2 * CHUNK)
        return [
            service_pb.FilePart(
                entry=entry_to_proto(entry),
                data=found[entry.file_id] if 0 < entry.size <= max_data_size else b"",
            )
            for entry in entries
        ]

    async def _pieces(self, entry: Entry, blocks: Sequence[FileBlock]) -> AsyncIterator[list[service_pb.FilePart]]:
        async def listed() -> AsyncIterator[FileBlock]:
            for block in blocks:
                yield block

        first = True
        async for _, data in self._read_ahead(listed()):
            for start in range(0, len(data), CHUNK):
                piece = data[start : start + CHUNK]
                yield [service_pb.FilePart(entry=entry_to_proto(entry) if first else None, data=piece)]
                first = False

    async def _read_ahead(self, blocks: AsyncIterator[FileBlock]) -> AsyncIterator[tuple[FileBlock, bytes]]:
        """Each block with its data; the budget holds it until the next one is asked for."""
        ahead: deque[tuple[FileBlock, asyncio.Task[list[bytes]]]] = deque()
        more = True
        try:
            while more or ahead:
                while more and len(ahead) < READ_AHEAD:
                    block = await anext(blocks, None)
                    if block is None:
                        more = False
                    else:
                        # Only the first may wait for the budget: waiting for a second while holding one could starve.
                        if ahead and self._budget.limit - self._budget.used < BLOCK_SIZE:
                            blocks = _chain(block, blocks)
                            break
                        await self._budget.acquire(block.extent.length)
                        ahead.append((block, asyncio.create_task(self._service.read_blocks([block]))))
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


async def _chain(first: FileBlock, rest: AsyncIterator[FileBlock]) -> AsyncIterator[FileBlock]:
    yield first
    async for block in rest:
        yield block
