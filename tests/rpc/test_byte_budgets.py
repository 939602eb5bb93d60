"""Calls that wait for memory wait for the server's own work, not for what another peer does."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import live_artifact_service_pb2 as live_pb
from holdfast.v1 import run_service_pb2
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast.v1.live_artifact_service_pb2_grpc import LiveArtifactServiceStub
from holdfast_server.app import App
from holdfast_server.config import MIB, ServerConfig
from holdfast_server.domain.artifacts import Extent, NewBlock
from holdfast_server.rpc import byte_budget
from holdfast_server.rpc.uploads import MAX_UNSENT, BlockReceiver
from holdfast_server.storage.spool import DirectorySpool

LONG = 100.0  # seconds; the idle timeout is 120


@pytest.fixture
def server_config(tmp_path: Path) -> ServerConfig:
    """Room for two blocks, and for 8 MiB of inline data."""
    return ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",), byte_budget=16 * MIB)


@pytest.fixture
async def owner(runs: Any) -> artifact_pb.TreeOwner:
    return artifact_pb.TreeOwner(run_id=(await runs.CreateRun(run_service_pb2.CreateRunRequest())).run.run_id)


@pytest.fixture
def artifacts(channel: grpc.aio.Channel) -> Any:
    return ArtifactServiceStub(channel)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in the server."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110 - it has no event here
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), LONG)


def inline(path: str, data: bytes) -> pb.NewEntry:
    return pb.NewEntry(path=path, kind=artifact_pb.ENTRY_KIND_FILE, size=len(data), inline_data=data)


async def commit(
    artifacts: Any,
    owner: artifact_pb.TreeOwner,
    messages: list[list[pb.NewEntry]],
    before_end: asyncio.Event | None = None,
) -> pb.CommitFilesResponse:
    async def requests() -> AsyncIterator[pb.CommitFilesRequest]:
        yield pb.CommitFilesRequest(header=pb.CommitHeader(owner=owner))
        for entries in messages:
            yield pb.CommitFilesRequest(entries=pb.CommitEntries(entries=entries))
        if before_end is not None:
            await before_end.wait()
        yield pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=sum(map(len, messages))))

    return await artifacts.CommitFiles(requests())


async def test_commits_get_through_while_uploads_stand_still(artifacts, owner, monkeypatch):
    monkeypatch.setattr(byte_budget, "PATIENCE", 1e6)  # nobody gives way
    stalled = [artifacts.WriteBlocks() for _ in range(2)]
    for number, call in enumerate(stalled):
        chunk = encode_chunk(Chunk(bytes([number]) * 32, 8 * MIB, bytes(MIB)))
        await call.write(pb.WriteBlocksRequest.FromString(chunk))
        while (await call.read()).taken_bytes < MIB:
            pass
    answer = await asyncio.wait_for(commit(artifacts, owner, [[inline("f", b"x" * 1_000)]]), LONG)
    assert answer.committed.sequence == 1
    for call in stalled:
        call.cancel()


async def test_commits_that_stand_still_give_way_and_lose_nothing(app: App, artifacts, owner, monkeypatch):
    monkeypatch.setattr(byte_budget, "PATIENCE", 0.05)
    data, go_on = b"x" * 60_000, asyncio.Event()
    messages = [[[inline(f"{call}/{part}/{n}", data) for n in range(16)] for part in range(4)] for call in range(2)]
    stalled = [asyncio.create_task(commit(artifacts, owner, parts, go_on)) for parts in messages]
    await until(lambda: app._small_writes.used > 7 * MIB)
    whole = [[inline(f"whole/{n}", data) for n in range(16)]]
    await asyncio.wait_for(commit(artifacts, owner, whole), LONG)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*stalled), LONG)
    listing = await artifacts.ListFiles(pb.ListFilesRequest(owner=owner, recursive=True))
    files = [entry for entry in listing.entries if entry.kind == artifact_pb.ENTRY_KIND_FILE]
    assert {entry.digest for entry in files} == {hashlib.sha256(data).digest()}
    assert len(files) == 2 * 4 * 16 + 16
    assert app._small_writes.used == 0


async def test_appends_are_counted_and_logs_do_not_wait_for_a_slow_store(app: App, channel, owner, monkeypatch):
    live = LiveArtifactServiceStub(channel)
    gate, write = threading.Event(), app.live._store.write

    def wait_and_write(blocks: Sequence[NewBlock]) -> list[Extent]:
        gate.wait(2 * LONG)
        return write(blocks)

    monkeypatch.setattr(app.live._store, "write", wait_and_write)

    async def append(path: str, data: bytes) -> int:
        request = live_pb.OpenLiveArtifactRequest(owner=owner, path=path, mode=live_pb.OPEN_MODE_CREATE)
        begun = await live.OpenLiveArtifact(request)
        digest = hashlib.sha256(data).digest()
        request = live_pb.AppendLiveArtifactRequest(
            live_id=begun.live_artifact.live_id, writer=begun.writer, data=data, digest=digest
        )
        return (await live.AppendLiveArtifact(request)).size

    try:
        appends = [asyncio.create_task(append(f"large/{number}", bytes(MIB))) for number in range(9)]
        await until(lambda: app._small_writes.used == 8 * MIB)
        assert await asyncio.wait_for(append("log", b"a line\n"), LONG) == 7
    finally:
        gate.set()
    assert await asyncio.wait_for(asyncio.gather(*appends), LONG) == [MIB] * 9
    assert app._small_writes.used == 0


async def upload_within_the_window(artifacts: Any, data: bytes, chunk_size: int) -> list[pb.BlockResult]:
    """Send a block as docs/protocol.md says, to the letter: never more under way than the newest answer allows."""
    call = artifacts.WriteBlocks()
    digest, sent, taken, window = hashlib.sha256(data).digest(), 0, 0, 0
    for start in range(0, len(data), chunk_size):
        first = start == 0
        raw = encode_chunk(Chunk(digest if first else b"", len(data) if first else 0, data[start : start + chunk_size]))
        while sent and sent + len(raw) - taken > window:
            answer = await asyncio.wait_for(call.read(), LONG)
            taken, window = answer.taken_bytes, answer.window_bytes
        await call.write(pb.WriteBlocksRequest.FromString(raw))
        sent += len(raw)
    await call.done_writing()
    results: list[pb.BlockResult] = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        results += answer.results
    return results


@pytest.mark.parametrize("chunk_size", [16 << 10, 128 << 10, 256 << 10, 512 << 10, 700 << 10, MIB], ids="{:,}".format)
async def test_a_client_that_keeps_to_the_window_never_waits_for_good(artifacts, owner, chunk_size):
    data = hashlib.shake_128(b"%d" % chunk_size).digest(8 * MIB)
    (result,) = await upload_within_the_window(artifacts, data, chunk_size)
    assert result.status == pb.BLOCK_STATUS_STORED


async def test_a_peer_that_reads_no_answers_gives_its_room_to_others(monkeypatch, tmp_path):
    monkeypatch.setattr(byte_budget, "PATIENCE", 0.05)
    budget = byte_budget.ByteBudget(8 * MIB)
    stored = 0

    class Service:
        async def write_blocks(self, blocks: Sequence[NewBlock]) -> None:
            nonlocal stored
            stored += len(blocks)

    async def requests() -> AsyncIterator[bytes]:
        for number in range(MAX_UNSENT):
            data = b"%d" % number
            block = artifact_pb.Block(digest=hashlib.sha256(data).digest(), data=data)
            yield pb.WriteBlocksRequest(blocks=[block]).SerializeToString()
        await until(lambda: stored == MAX_UNSENT)
        yield bytes(encode_chunk(Chunk(bytes(32), 8 * MIB, bytes(MIB))))
        await asyncio.Event().wait()

    answers = BlockReceiver(Service(), budget, DirectorySpool(tmp_path)).receive(requests())
    await anext(answers)  # and no more
    await until(lambda: budget.used == 8 * MIB)
    await asyncio.wait_for(budget.acquire(8 * MIB), LONG)
    await answers.aclose()


async def put(artifacts: Any, owner: artifact_pb.TreeOwner, path: str, data: bytes) -> None:
    """Upload a file in blocks."""
    digests = []
    for start in range(0, len(data), 8 * MIB):
        block = data[start : start + 8 * MIB]
        (result,) = await upload_within_the_window(artifacts, block, MIB)
        digests.append(result.digest)
    entry = pb.NewEntry(path=path, kind=artifact_pb.ENTRY_KIND_FILE, size=len(data), block_digests=digests)
    await commit(artifacts, owner, [[entry]])


def read_file(channel: grpc.aio.Channel, owner: artifact_pb.TreeOwner) -> Any:
    call = ArtifactServiceStub(channel).ReadFile(pb.ReadFileRequest(owner=owner, path="large"))
    return call, lambda message: message.chunk.data


def read_files(channel: grpc.aio.Channel, owner: artifact_pb.TreeOwner) -> Any:
    request = pb.ReadFilesRequest(owner=owner, path="large", max_data_size=64 * MIB)
    call = ArtifactServiceStub(channel).ReadFiles(request)
    return call, lambda message: b"".join(part.data for part in message.parts)


def tail(channel: grpc.aio.Channel, owner: artifact_pb.TreeOwner) -> Any:
    request = live_pb.TailArtifactRequest(uri=f"runs:/{owner.run_id}/large")
    return LiveArtifactServiceStub(channel).TailArtifact(request), lambda message: message.data.data


@pytest.mark.parametrize(("begin", "size"), [(read_file, 16), (read_files, 16), (read_files, 1), (tail, 16)])
async def test_readers_that_stand_still_give_way_and_get_the_rest_later(
    app: App, artifacts, owner, *, monkeypatch, begin, size
):
    """``size`` of the files, in MiB."""
    data = hashlib.shake_128(b"large").digest(16 * MIB)
    for start in range(0, 16, size):
        path = "large" if size == 16 else f"large/{start:02}"
        await put(artifacts, owner, path, data[start * MIB : (start + size) * MIB])
    monkeypatch.setattr(byte_budget, "PATIENCE", 0.5)
    budget = app._budgets["tails" if begin is tail else "downloads"]

    async def rest(call: Any, data_of: Callable[[Any], bytes], got: bytes = b"") -> bytes:
        parts = [got]
        while (message := await call.read()) is not grpc.aio.EOF:
            parts.append(data_of(message))
        return b"".join(parts)

    async with contextlib.AsyncExitStack() as opened:

        async def call() -> Any:
            # A connection of its own, whose window is the stream's.
            address = f"127.0.0.1:{app.ports[0]}"
            options = [("grpc.use_local_subchannel_pool", 1)]
            return begin(await opened.enter_async_context(grpc.aio.insecure_channel(address, options=options)), owner)

        stalled = []
        for _ in range(3 if size > 1 else 9):
            reader, data_of = await call()
            stalled.append((reader, data_of, data_of(await reader.read())))
        await until(lambda: not budget.has_free(8 * MIB))
        assert await asyncio.wait_for(rest(*await call()), LONG) == data
        for each in stalled:
            assert await asyncio.wait_for(rest(*each), LONG) == data
    await until(lambda: budget.used == 0)
