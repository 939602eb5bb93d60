"""Receives the blocks of WriteBlocks streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from google.protobuf.message import DecodeError

from holdfast.format.chunks import Chunk, decode_chunk
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import NewBlock, has_digest
from holdfast_server.errors import DomainError, InvalidArgument, Reason
from holdfast_server.rpc.block_assembly import BlockAssembler
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.services.artifacts import ArtifactService

logger = logging.getLogger(__name__)

STORED = service_pb.BLOCK_STATUS_STORED
MISMATCH = service_pb.BLOCK_STATUS_DIGEST_MISMATCH
UNAVAILABLE = service_pb.BLOCK_STATUS_UNAVAILABLE

Result = service_pb.BlockResult


class BlockReceiver:
    """Stores blocks while further ones arrive, several at once, within the budget.

    Bad blocks are answered as results: gRPC loses a status that is sent while the peer still writes.
    """

    def __init__(self, service: ArtifactService, budget: ByteBudget) -> None:
        self._service, self._budget = service, budget

    async def receive(self, requests: AsyncIterator[bytes]) -> AsyncIterator[list[Result]]:
        """Store all blocks of a stream; yields results as they come, until the peer half-closes and all are in."""
        results: asyncio.Queue[list[Result] | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(requests, results))
        try:
            while (batch := await results.get()) is not None:
                yield batch
            await reader
        finally:
            reader.cancel()

    async def _read(self, requests: AsyncIterator[bytes], results: asyncio.Queue[list[Result] | None]) -> None:
        assembler, tasks = BlockAssembler(), set[asyncio.Task[None]]()
        held = 0  # bytes of the budget taken for the block that is arriving
        try:
            async for raw in requests:
                message = _decode(raw)
                begins = message.digest != b"" if isinstance(message, Chunk) else True
                if begins:
                    # What was held belonged to a block that was cut short, if to any.
                    self._budget.release(held)
                    held = 0
                    wanted = min(message.size, BLOCK_SIZE) if isinstance(message, Chunk) else len(raw)
                    await self._budget.acquire(wanted)
                    held = wanted
                blocks = assembler.feed(message)
                if blocks:
                    task = asyncio.create_task(self._store(blocks, held, results))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    held = 0
                _hand_over(assembler, results)
            assembler.close()
            _hand_over(assembler, results)
        finally:
            self._budget.release(held)
            while tasks:
                await asyncio.wait(tasks)
            results.put_nowait(None)

    async def _store(self, blocks: list[NewBlock], held: int, results: asyncio.Queue[list[Result] | None]) -> None:
        try:
            answer = await self._store_each(blocks)
        finally:
            self._budget.release(held)
        results.put_nowait(answer)

    async def _store_each(self, blocks: list[NewBlock]) -> list[Result]:
        """Store blocks together; when some of them are bad, the others are stored all the same."""
        try:
            await self._service.write_blocks(blocks)
        except InvalidArgument:
            good = [block for block in blocks if has_digest(block)]
            message = "The data does not have this digest; nothing of it was kept."
            bad = [Result(digest=b.digest, status=MISMATCH, message=message) for b in blocks if b not in good]
            return [*bad, *(await self._store_each(good) if good else [])]
        except DomainError as error:
            return [Result(digest=block.digest, status=UNAVAILABLE, message=error.message) for block in blocks]
        except Exception:
            logger.exception("storing %d blocks failed", len(blocks))
            message = "The server failed to store the block; its log says why. Send it again."
            return [Result(digest=block.digest, status=UNAVAILABLE, message=message) for block in blocks]
        return [Result(digest=block.digest, status=STORED) for block in blocks]


def _hand_over(assembler: BlockAssembler, results: asyncio.Queue[list[Result] | None]) -> None:
    if assembler.rejected:
        results.put_nowait(assembler.rejected)
        assembler.rejected = []


def _decode(raw: bytes) -> Chunk | service_pb.WriteBlocksRequest:
    chunk = decode_chunk(raw)
    if chunk is not None:
        return chunk
    try:
        message = service_pb.WriteBlocksRequest.FromString(raw)
    except DecodeError as error:
        raise InvalidArgument("The message is not a WriteBlocksRequest.", reason=Reason.MALFORMED_REQUEST) from error
    if message.HasField("chunk") and not message.blocks:
        return Chunk(message.chunk.digest, message.chunk.size, message.chunk.data)
    return message
