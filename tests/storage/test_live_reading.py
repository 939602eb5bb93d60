"""Pieces of live artifacts and of files that are tailed are found where they are, while gc and appends move them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence

import pytest
from tests.storage.upkeep_store import UpkeepStore, random_bytes

from holdfast.format.digests import BLOCK_SIZE
from holdfast_server.domain.artifacts import Extent, Owner
from holdfast_server.domain.live import Append, LiveFile, OpenMode
from holdfast_server.errors import DataLoss, FailedPrecondition, Reason
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.tails import TailSender
from holdfast_server.services.live_artifacts import LiveArtifactService, open_live
from holdfast_server.services.live_pieces import Source
from holdfast_server.services.live_tails import TailService
from holdfast_server.services.live_watch import LiveWatch

MIB = 1 << 20


@pytest.fixture
def watch(store: UpkeepStore) -> LiveWatch:
    return LiveWatch(store.database)


@pytest.fixture
def live(store: UpkeepStore, watch: LiveWatch) -> LiveArtifactService:
    return LiveArtifactService(store.database, store.blocks, store.executor, watch)


@pytest.fixture
def tails(store: UpkeepStore, watch: LiveWatch) -> TailService:
    return TailService(store.database, store.blocks, store.executor, watch)


async def append(live: LiveArtifactService, file: LiveFile, offset: int, data: bytes) -> LiveFile:
    return await live.append(Append(file.id, file.writer, offset, data), hashlib.sha256(data).digest())


async def put_pack(store: UpkeepStore, run: Owner) -> bytes:
    """Ten small files in one pack; the content of the one named 9."""
    contents = {str(n): random_bytes(1_000 + n) for n in range(10)}
    await store.put(run, contents)
    return contents["9"]


async def compact(store: UpkeepStore, run: Owner) -> None:
    """Have gc move what is left of the pack."""
    await store.remove(run, *(str(n) for n in range(8)))
    assert (await store.collect()).compacted_packs == 1


async def test_a_tail_finds_what_compaction_moved_after_it_looked(store: UpkeepStore, tails: TailService):
    run = await store.new_run()
    data = await put_pack(store, run)
    source, pieces = await tails.look(await tails.find(f"runs:/{run.id}/9"), 10)
    await compact(store, run)
    _, chunks = await tails.read(source, pieces, 10)
    assert b"".join(chunk for _, chunk in chunks) == data[10:]


async def test_a_tail_finds_what_was_joined_after_it_looked(
    store: UpkeepStore, live: LiveArtifactService, tails: TailService
):
    run, data = await store.new_run(), random_bytes(BLOCK_SIZE + MIB)
    file = await store.database.write(lambda tx: open_live(tx, run, "log", OpenMode.CREATE))
    file = await append(live, file, 0, data[:MIB])
    source, pieces = await tails.look(Source(file, None), 1_000)
    for offset in range(MIB, len(data), MIB):
        file = await append(live, file, offset, data[offset : offset + MIB])
    await live.consolidate(file)
    assert (await store.collect()).objects == 8  # the pieces, which one block has in their place
    now, chunks = await tails.read(source, pieces, 1_000)
    assert now.size == len(data)
    assert b"".join(chunk for _, chunk in chunks) == data[1_000:BLOCK_SIZE]


async def test_a_tail_that_waited_for_room_counts_what_is_there_then(
    store: UpkeepStore, live: LiveArtifactService, tails: TailService
):
    run, data = await store.new_run(), random_bytes(BLOCK_SIZE)
    file = await store.database.write(lambda tx: open_live(tx, run, "log", OpenMode.CREATE))
    for offset in range(0, len(data), MIB):
        file = await append(live, file, offset, data[offset : offset + MIB])
    budget = ByteBudget(BLOCK_SIZE)
    await budget.acquire(BLOCK_SIZE)
    async with contextlib.aclosing(TailSender(tails, budget).send(Source(file, None), 0, follow=False)) as messages:
        assert (await anext(messages)).HasField("header")
        following = asyncio.ensure_future(anext(messages))
        while not budget.is_wanted:  # noqa: ASYNC110 - it has no event here
            await asyncio.sleep(0.001)
        await live.consolidate(file)  # one block in place of pieces of a megabyte
        await store.collect()
        budget.release(BLOCK_SIZE)
        received = (await following).data.data
        assert budget.used == BLOCK_SIZE
        received += b"".join([message.data.data async for message in messages])
    assert received == data
    assert budget.used == 0


async def test_a_tail_of_what_was_begun_anew_ends(store: UpkeepStore, live: LiveArtifactService, tails: TailService):
    run = await store.new_run()
    file = await store.database.write(lambda tx: open_live(tx, run, "log", OpenMode.CREATE))
    file = await append(live, file, 0, random_bytes(MIB))
    source, pieces = await tails.look(Source(file, None), 0)
    await store.database.write(lambda tx: open_live(tx, run, "log", OpenMode.CREATE))
    await store.collect()
    now, chunks = await tails.read(source, pieces, 0)
    assert (now.state.name, chunks) == ("REPLACED", [])


async def test_a_tail_of_a_file_that_was_collected_is_told_so(store: UpkeepStore, tails: TailService):
    run = await store.new_run()
    await store.put(run, {"f": random_bytes(100_000)})
    source, pieces = await tails.look(await tails.find(f"runs:/{run.id}/f"), 0)
    await store.remove(run, "f")
    await store.collect()
    for call in (tails.read(source, pieces, 0), tails.look(source, 0)):
        with pytest.raises(FailedPrecondition) as caught:
            await call
        assert caught.value.reason is Reason.SNAPSHOT_EXPIRED


async def test_what_is_truly_gone_is_data_loss(store: UpkeepStore, live: LiveArtifactService, tails: TailService):
    run = await store.new_run()
    file = await store.database.write(lambda tx: open_live(tx, run, "log", OpenMode.CREATE))
    file = await append(live, file, 0, random_bytes(MIB))
    source, pieces = await tails.look(Source(file, None), 0)
    for key in store.listed():
        store.objects.delete(key)
    with pytest.raises(DataLoss):
        await tails.read(source, pieces, 0)
    with pytest.raises(DataLoss):
        await live.close(file.id, file.writer, file.size)


@pytest.mark.parametrize("repeats", [pytest.param(True, id="comparing"), pytest.param(False, id="closing")])
async def test_a_writer_finds_what_compaction_moved_meanwhile(
    store: UpkeepStore, live: LiveArtifactService, monkeypatch: pytest.MonkeyPatch, repeats: bool
):
    run = await store.new_run()
    data, more = await put_pack(store, run), random_bytes(100_000)
    file = await store.database.write(lambda tx: open_live(tx, run, "9", OpenMode.APPEND))
    file = await append(live, file, len(data), more)
    loop, read = asyncio.get_running_loop(), store.blocks.read

    def read_late(blocks: Sequence[tuple[bytes, Extent]]) -> list[bytes]:
        monkeypatch.setattr(store.blocks, "read", read)
        asyncio.run_coroutine_threadsafe(compact(store, run), loop).result(60)
        return read(blocks)

    monkeypatch.setattr(store.blocks, "read", read_late)
    if repeats:
        assert (await append(live, file, 0, data + more)).size == len(data + more)
    await live.close(file.id, file.writer, file.size)
    assert await store.read(run, "9") == data + more
