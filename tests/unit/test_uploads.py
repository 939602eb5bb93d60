"""Putting a WriteBlocks stream together, and the budget that bounds it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.format.chunks import Chunk, decode_chunk, encode_chunk
from holdfast.v1 import artifact_pb2, artifact_service_pb2
from holdfast_server.domain.artifacts import NewBlock
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.block_assembly import SMALL_CHUNK, BlockAssembler
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.uploads import BlockReceiver
from holdfast_server.storage.spool import DirectorySpool


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_chunks_become_a_block_when_the_last_is_here() -> None:
    assembler = BlockAssembler()
    assert assembler.feed(Chunk(_digest(b"abcdef"), 6, b"abc")) == []
    (block,) = assembler.feed(Chunk(b"", 0, b"def"))
    assert b"".join(block.parts) == b"abcdef"
    assert block.size == 6


def test_whole_blocks_pass_and_empty_ones_are_rejected() -> None:
    assembler = BlockAssembler()
    message = artifact_service_pb2.WriteBlocksRequest(
        blocks=[artifact_pb2.Block(digest=_digest(b"x"), data=b"x"), artifact_pb2.Block(digest=_digest(b""))]
    )
    assert [block.size for block in assembler.feed(message)] == [1]
    assert [result.digest for result in assembler.rejected] == [_digest(b"")]


@pytest.mark.parametrize(
    "size", [pytest.param(3, id="over-long"), pytest.param((8 << 20) + 1, id="larger-than-a-block")]
)
def test_a_block_of_the_wrong_size_is_rejected_and_the_next_one_accepted(size: int) -> None:
    assembler = BlockAssembler()
    assert assembler.feed(Chunk(_digest(b"a"), size, b"x" * 5)) == []
    assert [block.size for block in assembler.feed(Chunk(_digest(b"b"), 1, b"b"))] == [1]
    assert [result.digest for result in assembler.rejected] == [_digest(b"a")]


def test_a_block_cut_short_is_rejected() -> None:
    assembler = BlockAssembler()
    assembler.feed(Chunk(_digest(b"a"), 10, b"x"))
    assembler.close()
    assert "1 of 10 bytes" in assembler.rejected[0].message


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([Chunk(b"", 0, b"x")], id="no-first-chunk"),
        pytest.param([Chunk(b"short", 1, b"x")], id="bad-digest"),
        pytest.param([artifact_service_pb2.WriteBlocksRequest()], id="empty-message"),
        pytest.param(
            [Chunk(_digest(b"x"), 9, b"x"), artifact_service_pb2.WriteBlocksRequest(blocks=[artifact_pb2.Block()])],
            id="interleaved",
        ),
    ],
)
def test_what_breaks_the_protocol_ends_the_stream(messages: list[Any]) -> None:
    assembler = BlockAssembler()
    *before, last = messages
    for message in before:
        assembler.feed(message)
    with pytest.raises(InvalidArgument):
        assembler.feed(last)


async def test_the_budget_is_first_come_first_served() -> None:
    budget = ByteBudget(10)
    await budget.acquire(6)
    order: list[str] = []

    async def want(name: str, size: int) -> None:
        await budget.acquire(size)
        order.append(name)

    large, small = asyncio.create_task(want("large", 8)), asyncio.create_task(want("small", 1))
    await asyncio.sleep(0)
    assert order == []  # small waits behind large, which would starve otherwise
    budget.release(6)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]
    assert budget.used == 9


async def test_a_cancelled_waiter_gives_its_place_away() -> None:
    budget = ByteBudget(10)
    await budget.acquire(10)
    first, second = asyncio.create_task(budget.acquire(10)), asyncio.create_task(budget.acquire(4))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    budget.release(10)
    await second
    assert budget.used == 4


async def test_more_than_the_limit_counts_as_the_limit() -> None:
    budget = ByteBudget(10)
    await budget.acquire(50)
    budget.release(50)
    assert budget.used == 0


def test_an_empty_chunk_is_refused() -> None:
    assembler = BlockAssembler()
    with pytest.raises(InvalidArgument, match="never empty"):
        assembler.feed(Chunk(_digest(b"ab"), 2, b""))
    with pytest.raises(InvalidArgument, match="never empty"):
        BlockAssembler().feed(Chunk(_digest(b""), 0, b""))
    assembler = BlockAssembler()
    assembler.feed(Chunk(_digest(b"ab"), 2, b"a"))
    with pytest.raises(InvalidArgument, match="never empty"):
        assembler.feed(Chunk(b"", 0, b""))


def test_chunks_of_few_bytes_take_little_more_memory_than_their_bytes() -> None:
    data, step = random.Random(1).randbytes(1 << 20), 16
    messages = [encode_chunk(Chunk(b"", 0, data[at : at + step])) for at in range(step, len(data), step)]
    assembler = BlockAssembler()
    assembler.feed(Chunk(_digest(data), len(data), data[:step]))
    tracemalloc.start()
    try:
        for message in messages[:-1]:
            chunk = decode_chunk(bytes(bytearray(message)))  # a message of its own, as one that came from the network
            assert chunk is not None
            assembler.feed(chunk)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.25 * len(data)
    (block,) = assembler.feed(Chunk(b"", 0, data[-step:]))
    assert b"".join(block.parts) == data


def test_small_and_large_chunks_keep_their_order() -> None:
    parts = [b"a", b"b" * SMALL_CHUNK, b"c", b"d", b"e" * (SMALL_CHUNK + 1), b"f"]
    data = b"".join(parts)
    assembler = BlockAssembler()
    blocks = assembler.feed(Chunk(_digest(data), len(data), parts[0]))
    for part in parts[1:]:
        blocks = assembler.feed(Chunk(b"", 0, memoryview(part)))
    (block,) = blocks
    assert b"".join(block.parts) == data


async def test_a_stream_that_waits_for_its_next_block_keeps_nothing_of_the_last() -> None:
    class Service:
        async def write_blocks(self, blocks: list[NewBlock]) -> None:
            pass

    async def requests() -> AsyncIterator[bytes]:
        for data in (b"a" * 100_000, b"b" * 100_000):
            raw = bytes(encode_chunk(Chunk(_digest(data), len(data), data)))
            if data[0] == ord("a"):
                sent.append(raw)
            yield raw
            del raw
            await stored.wait()

    sent: list[bytes] = []
    stored = asyncio.Event()
    budget = ByteBudget(100_000)
    receiver = BlockReceiver(Service(), budget, DirectorySpool(Path()))  # type: ignore[arg-type]  # what is used of it
    answers = receiver.receive(requests())
    while not (await anext(answers)).results:
        pass
    await budget.acquire(1)  # another stream's; the next block of this one has to wait
    stored.set()
    while not budget.is_wanted:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    references = sys.getrefcount(sent[0])
    assert references == 2, "something but this test holds the bytes of a block that was answered"
    await answers.aclose()
