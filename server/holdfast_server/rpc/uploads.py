"""Receives the blocks of WriteBlocks streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from holdfast.format.chunks import Chunk, decode_chunk
from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.domain.artifacts import NewBlock, has_digest
from holdfast_server.errors import DomainError, InvalidArgument, Reason, ResourceExhausted
from holdfast_server.rpc import byte_budget
from holdfast_server.rpc.arriving_block import ArrivingBlock
from holdfast_server.rpc.block_assembly import BlockAssembler
from holdfast_server.rpc.byte_budget import ByteBudget, Share, read_attentively
from holdfast_server.services.artifacts import ArtifactService
from holdfast_server.services.ports.spool import Spool
from holdfast_server.timing_out import within

logger = logging.getLogger(__name__)

STORED = service_pb.BLOCK_STATUS_STORED
MISMATCH = service_pb.BLOCK_STATUS_DIGEST_MISMATCH
UNAVAILABLE = service_pb.BLOCK_STATUS_UNAVAILABLE

Result = service_pb.BlockResult
Response = service_pb.WriteBlocksResponse

# How often a stream hears what was taken of it, in bytes: each answer costs both sides, and who may have much under way
# does not wait for it.
TAKEN_STEP = 256 << 10
TAKEN_STEPS_OF_WINDOW = 16
# Bytes that all streams together should have under way, what one has at least and at most. The least is what a client
# may not have heard of yet and one message of 1 MiB beside it: with less, it could wait for news that wait for it.
WINDOW_TOTAL = 48 << 20
WINDOW_MIN = 1_536 << 10
WINDOW_MAX = 32 << 20
# What a block of a message costs besides its bytes, roughly: objects on its way, and its answer.
BLOCK_COST = 1 << 10
# How long a stream is read that is about to be ended with an error.
FAILED_SECONDS = 0.5
# Answers that may wait for a peer that does not read them before nothing more is read of it.
MAX_UNSENT = 256


class BlockReceiver:
    """Stores blocks while further ones arrive, several at once, within the budget.

    Bad blocks are answered as results: gRPC loses a status that is sent while the peer still writes.
    """

    def __init__(self, service: ArtifactService, budget: ByteBudget, spool: Spool) -> None:
        self._service, self._budget, self._spool = service, budget, spool
        self._streams = 0

    async def receive(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Response]:
        """Store all blocks of a stream; yields answers as they come, until the peer half-closes and all are in."""
        stream = _Stream()
        self._streams += 1
        reader = asyncio.create_task(self._read(requests, stream))
        try:
            yield self._news(stream)
            while (results := await stream.results.get()) is not None:
                response = self._news(stream)
                response.results.extend(results)
                yield response
                stream.sent.set()
            if stream.failure is not None:
                # What is on its way is read, or gRPC would lose the status.
                await asyncio.wait({reader}, timeout=FAILED_SECONDS)
                raise stream.failure
            await reader
        finally:
            self._streams -= 1
            reader.cancel()

    def _news(self, stream: _Stream) -> Response:
        """How much of the stream was taken, and how much more may come: the same for each stream, fewer for many.

        Without it gRPC would hold, in buffers of its own, all that the network brings while disks are slow.
        """
        stream.told = stream.taken
        # More only once some was taken: who still waits for a first turn would fill what it was told before.
        grown = WINDOW_MIN + 2 * stream.taken
        window = max(WINDOW_MIN, min(WINDOW_MAX, WINDOW_TOTAL // self._streams, grown))
        stream.step = max(TAKEN_STEP, window // TAKEN_STEPS_OF_WINDOW)
        return Response(taken_bytes=stream.taken, window_bytes=window)

    async def _read(self, requests: AsyncIterator[bytes], stream: _Stream) -> None:
        assembler, tasks = BlockAssembler(), set[asyncio.Task[None]]()
        arriving = ArrivingBlock(Share(self._budget), assembler, self._spool)
        try:
            async for raw in read_attentively(requests, arriving.give_way):
                message = _decode(raw)
                if not isinstance(message, Chunk):
                    await arriving.take(len(raw) + BLOCK_COST * len(message.blocks))
                elif message.digest:
                    await arriving.begin(min(message.size, BLOCK_SIZE))
                stream.taken += len(raw)
                blocks = assembler.feed(message)
                if blocks:
                    blocks, held = await arriving.finish(blocks)
                    task = asyncio.create_task(self._store(blocks, held, stream))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    # Otherwise this stream kept the block's bytes, which nobody counts, while it waits for the next.
                    del blocks
                else:
                    await arriving.keep()
                if assembler.rejected or stream.taken - stream.told >= stream.step:
                    stream.told = stream.taken
                    stream.results.put_nowait(assembler.rejected)
                    assembler.rejected = []
                while stream.is_unread:
                    await stream.wait_for_reader()
                    await arriving.give_way()
            assembler.close()
            if assembler.rejected:
                stream.results.put_nowait(assembler.rejected)
        finally:
            arriving.close()
            while tasks:
                await asyncio.wait(tasks)
            stream.results.put_nowait(None)

    async def _store(self, blocks: list[NewBlock], held: int, stream: _Stream) -> None:
        try:
            answer = await self._store_each(blocks)
        except ResourceExhausted as error:
            stream.failure = error
            stream.results.put_nowait(None)
            return
        finally:
            self._budget.release(held)
        stream.results.put_nowait(answer)

    async def _store_each(self, blocks: list[NewBlock]) -> list[Result]:
        """Store blocks together; when some of them are bad, the others are stored all the same."""
        try:
            await self._service.write_blocks(blocks)
        except InvalidArgument:
            good = [block for block in blocks if has_digest(block)]
            message = "The data does not have this digest; nothing of it was kept."
            bad = [Result(digest=b.digest, status=MISMATCH, message=message) for b in blocks if b not in good]
            return [*bad, *(await self._store_each(good) if good else [])]
        except ResourceExhausted:
            raise  # sending it again would not help, so it is no result of a block
        except DomainError as error:
            return [Result(digest=block.digest, status=UNAVAILABLE, message=error.message) for block in blocks]
        except Exception:
            logger.exception("storing %d blocks failed", len(blocks))
            message = "The server failed to store the block; its log says why. Send it again."
            return [Result(digest=block.digest, status=UNAVAILABLE, message=message) for block in blocks]
        return [Result(digest=block.digest, status=STORED) for block in blocks]


@dataclass(slots=True)
class _Stream:
    """State of one stream: results that wait to be sent, bytes that were taken, and what of them was told."""

    results: asyncio.Queue[list[Result] | None] = field(default_factory=asyncio.Queue)
    taken: int = 0
    told: int = 0
    step: int = TAKEN_STEP
    failure: ResourceExhausted | None = None
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_unread(self) -> bool:
        """Whether too many answers are not sent yet."""
        return self.results.qsize() >= MAX_UNSENT

    async def wait_for_reader(self) -> None:
        """Wait until an answer is sent, though not for longer than a stream may keep others waiting."""
        self.sent.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            async with within(byte_budget.PATIENCE):
                await self.sent.wait()


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
