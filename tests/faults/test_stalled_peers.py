"""Peers that stand still: they cost bounded memory for a bounded time, and go on where they were."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import grpc
import pytest
from tests.counting_proxy import counting_proxy
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast_server.app import App
from holdfast_server.config import MIB, ServerConfig
from holdfast_server.domain.artifacts import Extent, FileBlock, NewBlock, has_digest
from holdfast_server.errors import Unavailable
from holdfast_server.rpc import byte_budget
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.downloads import FileSender
from holdfast_server.rpc.uploads import BlockReceiver
from holdfast_server.storage.spool import DirectorySpool

DOWNLOAD = """
import sys, holdfast
with holdfast.Client(sys.argv[1]) as client:
    print("begin", flush=True)
    client.download_artifacts(sys.argv[2], "big", sys.argv[3])
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_suspended_download_goes_on(tmp_path: Path) -> None:
    data = secrets.token_bytes(8 * MIB) * 20
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data"), "--idle-timeout", "2"]
    with (
        running_server(*arguments) as server,
        counting_proxy(int(server.address.rpartition(":")[2])) as proxy,
        Client(f"holdfast://{server.address}") as client,
    ):
        run_id = client.create_run("0").info.run_id
        client.log_bytes(run_id, data, "big")
        proxy.hold(received=10 * 8 * MIB)
        reader = subprocess.Popen(
            [sys.executable, "-c", DOWNLOAD, f"holdfast://127.0.0.1:{proxy.port}", run_id, str(tmp_path / "out")],
            env=clean_environment(), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert reader.stdout is not None
        assert reader.stdout.readline() == "begin\n"
        while not any(p.stat().st_size for p in (tmp_path / "out").glob(".holdfast-*")):
            time.sleep(0.001)
        reader.send_signal(signal.SIGSTOP)
        proxy.go_on()
        time.sleep(5)  # longer than the idle timeout, which is what this is about
        reader.send_signal(signal.SIGCONT)
        out, _ = reader.communicate(timeout=120)
        assert (reader.returncode, out) == (0, "done\n")
    assert (tmp_path / "out/big").read_bytes() == data


def test_an_upload_whose_source_pauses_goes_on(tmp_path: Path) -> None:
    class Pausing(io.RawIOBase):
        """Gives a block, then nothing for longer than the server waits, then the rest."""

        def __init__(self) -> None:
            self.parts = [b"a" * (8 * MIB), b"b" * (8 * MIB), b"c"]

        def read(self, size: int = -1) -> bytes:
            if len(self.parts) == 2:
                time.sleep(5)
            return self.parts.pop(0) if self.parts else b""

    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data"), "--idle-timeout", "2"]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        run_id = client.create_run("0").info.run_id
        client.log_stream(run_id, Pausing(), "f")
        assert client.artifacts.read_bytes(f"runs:/{run_id}/f") == b"a" * (8 * MIB) + b"b" * (8 * MIB) + b"c"


@pytest.mark.parametrize("trickle", [pytest.param(False, id="stalled"), pytest.param(True, id="trickling")])
async def test_peers_that_stand_in_the_middle_of_a_block_hold_nobody_up_and_lose_nothing(
    tmp_path: Path, trickle: bool
) -> None:
    data = [secrets.token_bytes(8 * MIB) for _ in range(4)]  # there is room for two
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    arguments += ["--byte-budget", "16MiB", "--idle-timeout", "600"]

    async def send(call: grpc.aio.StreamStreamCall, block: bytes, start: int, step: int) -> int:
        digest = hashlib.sha256(block).digest() if not start else b""
        chunk = Chunk(digest, len(block) if digest else 0, block[start : start + step])
        await call.write(pb.WriteBlocksRequest.FromString(encode_chunk(chunk)))
        return start + step

    with running_server(*arguments) as server, contextlib.ExitStack() as opened:
        # Streams of one connection would hold up each other.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(server.address, options=options) for _ in data]
        calls = [ArtifactServiceStub(channel).WriteBlocks() for channel in channels]
        sent = [await send(call, block, 0, MIB) for call, block in zip(calls, data, strict=True)]

        async def go_on(index: int) -> None:
            while True:
                sent[index] = await send(calls[index], data[index], sent[index], 1_000)
                await asyncio.sleep(0.1)

        trickling = [asyncio.create_task(go_on(index)) for index in range(len(data))] if trickle else []
        client = opened.enter_context(Client(f"holdfast://{server.address}"))
        run_id = client.create_run("0").info.run_id
        upload = asyncio.to_thread(client.log_bytes, run_id, secrets.token_bytes(20 * MIB), "f")
        await asyncio.wait_for(upload, 120)  # the idle timeout is 600 s
        for task in trickling:
            task.cancel()
        await asyncio.gather(*trickling, return_exceptions=True)
        for index, call in enumerate(calls):
            while sent[index] < 8 * MIB:
                sent[index] = await send(call, data[index], sent[index], MIB)
            await call.done_writing()
            results = [result async for response in call for result in response.results]
            assert [(r.digest, r.status) for r in results] == [
                (hashlib.sha256(data[index]).digest(), pb.BLOCK_STATUS_STORED)
            ]
        for channel in channels:
            await channel.close()


@pytest.fixture
def server_config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",), idle_timeout=0.3)


async def test_a_commit_that_stands_still_is_ended(app: App, channel: grpc.aio.Channel) -> None:
    call = ArtifactServiceStub(channel).CommitFiles()
    await call.write(pb.CommitFilesRequest(header=pb.CommitHeader(owner=artifact_pb.TreeOwner(run_id="0" * 32))))
    assert await asyncio.wait_for(call.code(), 60) is grpc.StatusCode.DEADLINE_EXCEEDED


class Nothing:
    """A service that stores blocks by waiting a little."""

    async def write_blocks(self, blocks: object) -> None:
        await asyncio.sleep(0.001)


async def test_the_budget_balances_whatever_streams_do(tmp_path: Path) -> None:
    budget = ByteBudget(16 * MIB)
    receiver = BlockReceiver(Nothing(), budget, DirectorySpool(tmp_path))  # type: ignore[arg-type]  # it only stores
    begin = encode_chunk(Chunk(bytes(32), 8 * MIB, b"x"))
    whole = pb.WriteBlocksRequest(blocks=[artifact_pb.Block(digest=bytes(32), data=b"x")]).SerializeToString()

    async def stream(*messages: bytes, stall: bool = False):
        for message in messages:
            yield message
        if stall:
            await asyncio.Event().wait()

    async def drain(requests: object) -> None:
        async for _ in receiver.receive(requests):  # type: ignore[arg-type]
            pass

    refused = [asyncio.create_task(drain(stream(begin, whole))) for _ in range(20)]
    cut_short = [asyncio.create_task(drain(stream(begin))) for _ in range(20)]
    stalled = [asyncio.create_task(drain(stream(begin, stall=True))) for _ in range(20)]
    fine = [asyncio.create_task(drain(stream(whole, whole))) for _ in range(20)]
    await asyncio.sleep(0.05)
    for task in stalled:
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*refused, *cut_short, *stalled, *fine, return_exceptions=True), 60)
    assert {type(result).__name__ for result in results} == {"InvalidArgument", "NoneType", "CancelledError"}
    while budget.used:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0.01)


async def test_streams_that_are_all_half_way_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty blocks are in the middle at once, where there is room for two."""

    class Storing:
        def __init__(self) -> None:
            self.stored: list[bytes] = []

        async def write_blocks(self, blocks: Sequence[NewBlock]) -> None:
            assert budget.used <= budget.limit
            self.stored += [block.digest for block in blocks if has_digest(block)]

    monkeypatch.setattr(byte_budget, "PATIENCE", 0.01)
    budget, service = ByteBudget(16 * MIB), Storing()
    receiver = BlockReceiver(service, budget, DirectorySpool(tmp_path))  # type: ignore[arg-type]  # it only stores
    data = [bytes([number]) * (8 * MIB) for number in range(20)]
    half_way, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def stream(block: bytes) -> AsyncIterator[bytes]:
        yield encode_chunk(Chunk(hashlib.sha256(block).digest(), len(block), block[: 4 * MIB]))
        half_way.release()  # the first chunk was taken
        await go_on.wait()
        yield encode_chunk(Chunk(b"", 0, block[4 * MIB :]))

    async def drain(block: bytes) -> None:
        async for _ in receiver.receive(stream(block)):
            pass

    tasks = [asyncio.create_task(drain(block)) for block in data]
    for _ in data:
        await asyncio.wait_for(half_way.acquire(), 30)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert sorted(service.stored) == sorted(hashlib.sha256(block).digest() for block in data)
    assert budget.used == 0
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_a_disk_that_cannot_take_slow_blocks_ends_their_streams_and_frees_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_budget, "PATIENCE", 0.01)
    budget = ByteBudget(8 * MIB)
    spool = DirectorySpool(tmp_path / "not there")
    receiver = BlockReceiver(Nothing(), budget, spool)  # type: ignore[arg-type]  # it only stores

    taken = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield encode_chunk(Chunk(bytes(32), 8 * MIB, b"x"))
        taken.set()
        await asyncio.Event().wait()

    async def drain() -> None:
        async for _ in receiver.receive(stalled()):
            pass

    task = asyncio.create_task(drain())
    await asyncio.wait_for(taken.wait(), 30)
    await asyncio.wait_for(budget.acquire(8 * MIB), 30)
    with pytest.raises(Unavailable, match="arrives slowly"):
        await asyncio.wait_for(task, 30)


async def test_a_peer_that_reads_no_answers_is_read_no_further(tmp_path: Path) -> None:
    receiver = BlockReceiver(Nothing(), ByteBudget(16 * MIB), DirectorySpool(tmp_path))  # type: ignore[arg-type]
    bad = encode_chunk(Chunk(bytes(32), 1, b"two"))  # one that is answered at once
    read = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal read
        for read in range(10_000):  # noqa: B007 - counts for the outside
            await asyncio.sleep(0)
            yield bad

    answers = receiver.receive(flood())
    await anext(answers)
    await asyncio.wait_for(settled(lambda: read), 30)
    assert read < 1_000
    assert sum([len(answer.results) async for answer in answers]) == 10_000


async def settled(count: Callable[[], int]) -> None:
    """Wait until a count does not change any more."""
    before = -1
    while count() != before:
        before = count()
        await asyncio.sleep(0.05)


async def test_a_message_of_tiny_blocks_counts_what_they_take(tmp_path: Path) -> None:
    class Noting:
        used = 0

        async def write_blocks(self, blocks: Sequence[NewBlock]) -> None:
            self.used = budget.used

    budget, service = ByteBudget(16 * MIB), Noting()
    blocks = [artifact_pb.Block(digest=hashlib.sha256(b"x").digest(), data=b"x")] * 5_000
    message = pb.WriteBlocksRequest(blocks=blocks).SerializeToString()

    async def requests() -> AsyncIterator[bytes]:
        yield message

    async for _ in BlockReceiver(service, budget, DirectorySpool(tmp_path)).receive(requests()):  # type: ignore[arg-type]
        pass
    assert service.used > 5_000 * 1_000
    assert budget.used == 0


async def test_a_starved_budget_slows_a_long_download_and_no_more() -> None:
    class OneByteBlocks:
        """A file of very many blocks."""

        async def list_blocks(self, entry: object, first: int, last: int):
            for position in range(first, last):
                yield FileBlock(position, bytes(32), Extent("key", position, 1))

        async def read_blocks(self, blocks: object) -> list[bytes]:
            return [b"x"]

    # After one block is taken there is never room for a whole second one.
    budget = ByteBudget(8 * MIB)
    sender = FileSender(OneByteBlocks(), budget)  # type: ignore[arg-type]  # it only reads
    count = 0
    async for _ in sender.send_range(None, 0, 3_000):  # type: ignore[arg-type]  # handed on only
        count += 1
    assert (count, budget.used) == (3_000, 0)
