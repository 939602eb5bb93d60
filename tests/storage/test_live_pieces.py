"""Live artifacts on a store that loses blocks, heals, and is compacted meanwhile: read as exactly as other files."""

from __future__ import annotations

import pytest
from tests.storage.upkeep_store import UpkeepStore, random_bytes, sha

from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.live import Append, LiveFile, LiveState, OpenMode
from holdfast_server.domain.upkeep import FindingKind, Place
from holdfast_server.errors import DataLoss
from holdfast_server.services.live_artifacts import LiveArtifactService, open_live
from holdfast_server.services.live_tails import TailService
from holdfast_server.services.live_watch import LiveWatch

MIB = 1 << 20


class Live:
    """The use cases of writing and following, over one store."""

    def __init__(self, store: UpkeepStore) -> None:
        self._database, watch = store.database, LiveWatch(store.database)
        self.service = LiveArtifactService(store.database, store.blocks, store.executor, watch)
        self.tails = TailService(store.database, store.blocks, store.executor, watch)

    async def open(self, owner: Owner, mode: OpenMode = OpenMode.CREATE) -> LiveFile:
        return await self._database.write(lambda tx: open_live(tx, owner, "log", mode))

    async def append(self, live: LiveFile, data: bytes) -> LiveFile:
        return await self.service.append(Append(live.id, live.writer, live.size, data), sha(data))

    async def close(self, live: LiveFile) -> LiveFile:
        return await self.service.close(live.id, live.writer, live.size)


@pytest.fixture
def live(store: UpkeepStore) -> Live:
    return Live(store)


def damage(store: UpkeepStore, data: bytes) -> None:
    """Lose the object of a block."""
    store.objects.delete(next(key for key in store.listed() if sha(data).hex() in key))


async def test_a_file_with_a_lost_block_is_not_gone_on_with(store: UpkeepStore, live: Live):
    run, data = await store.new_run(), random_bytes(MIB)
    await store.put(run, {"log": data})
    damage(store, data)
    await store.check(repair=True)
    with pytest.raises(DataLoss, match=sha(data).hex()):
        await live.open(run, OpenMode.APPEND)
    await store.put(await store.new_run(), {"again": data})
    opened = await live.open(run, OpenMode.APPEND)
    closed = await live.close(await live.append(opened, b"more"))
    assert closed.state is LiveState.CLOSED
    assert await store.read(run, "log") == data + b"more"


async def test_a_check_names_files_that_are_being_written(store: UpkeepStore, live: Live):
    run, data = await store.new_run(), random_bytes(MIB)
    opened = await live.append(await live.open(run), data)
    damage(store, data)
    findings, _ = await store.check()
    assert [(f.kind, f.affected) for f in findings] == [(FindingKind.MISSING, (Place(run.id, "log"),))]
    source = await live.tails.get(opened.id)
    source, pieces = await live.tails.look(source, 0)
    with pytest.raises(DataLoss):
        await live.tails.read(source, pieces, 0)


async def test_a_tail_looks_again_where_a_piece_is_that_was_stored_anew(store: UpkeepStore, live: Live):
    run, data = await store.new_run(), random_bytes(MIB)
    opened = await live.append(await live.open(run), data)
    source, pieces = await live.tails.look(await live.tails.get(opened.id), 0)
    damage(store, data)
    await store.check(repair=True)
    await store.put(await store.new_run(), {"again": data})
    await live.append(opened, b"it grows")
    _, chunks = await live.tails.read(source, pieces, 0)
    assert chunks[0] == (sha(data), data)
