"""Peers that stand still: they cost bounded memory for a bounded time, and go on where they were."""

from __future__ import annotations

import asyncio
import io
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from tests.server_process import clean_environment, running_server

from holdfast._client import Client
from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast_server.app import App
from holdfast_server.config import MIB, ServerConfig
from holdfast_server.domain.artifacts import Extent, FileBlock
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.downloads import FileSender
from holdfast_server.rpc.uploads import BlockReceiver

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
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data"), "--idle-timeout", "1"]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        run_id = client.create_run("0").info.run_id
        client.log_bytes(run_id, data, "big")
        reader = subprocess.Popen(
            [sys.executable, "-c", DOWNLOAD, f"holdfast://{server.address}", run_id, str(tmp_path / "out")],
            env=clean_environment(), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert reader.stdout is not None
        assert reader.stdout.readline() == "begin\n"
        while not any(p.stat().st_size for p in (tmp_path / "out").glob(".holdfast-*")):
            time.sleep(0.001)
        reader.send_signal(signal.SIGSTOP)
        time.sleep(2.5)  # longer than the idle timeout, which is what this is about
        reader.send_signal(signal.SIGCONT)
        out, _ = reader.communicate(timeout=60)
        assert (reader.returncode, out) == (0, "done\n")
    assert (tmp_path / "out/big").read_bytes() == data


def test_an_upload_whose_source_pauses_goes_on(tmp_path: Path) -> None:
    class Pausing(io.RawIOBase):
        """Gives a block, then nothing for longer than the server waits, then the rest."""

        def __init__(self) -> None:
            self.parts = [b"a" * (8 * MIB), b"b" * (8 * MIB), b"c"]

        def read(self, size: int = -1) -> bytes:
            if len(self.parts) == 2:
                time.sleep(1.2)
            return self.parts.pop(0) if self.parts else b""

    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data"), "--idle-timeout", "0.4"]
    with running_server(*arguments) as server, Client(f"holdfast://{server.address}") as client:
        run_id = client.create_run("0").info.run_id
        client.log_stream(run_id, Pausing(), "f")
        assert client.artifacts.read_bytes(f"runs:/{run_id}/f") == b"a" * (8 * MIB) + b"b" * (8 * MIB) + b"c"


@pytest.fixture
def server_config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",), idle_timeout=0.3)


async def test_a_commit_that_stands_still_is_ended(app: App, channel: grpc.aio.Channel) -> None:
    call = ArtifactServiceStub(channel).CommitFiles()
    await call.write(pb.CommitFilesRequest(header=pb.CommitHeader(owner=artifact_pb.TreeOwner(run_id="0" * 32))))
    assert await asyncio.wait_for(call.code(), 10) is grpc.StatusCode.DEADLINE_EXCEEDED


class Nothing:
    """A service that stores blocks by waiting a little."""

    async def write_blocks(self, blocks: object) -> None:
        await asyncio.sleep(0.001)


async def test_the_budget_balances_whatever_streams_do() -> None:
    budget = ByteBudget(16 * MIB)
    receiver = BlockReceiver(Nothing(), budget)  # type: ignore[arg-type]  # it only stores
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
    results = await asyncio.wait_for(asyncio.gather(*refused, *cut_short, *stalled, *fine, return_exceptions=True), 10)
    assert {type(result).__name__ for result in results} == {"InvalidArgument", "NoneType", "CancelledError"}
    for _ in range(100):
        if not budget.used:
            break
        await asyncio.sleep(0.01)
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
