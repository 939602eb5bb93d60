"""Collecting garbage over every store: what is unused goes, whatever is used stays readable."""

from __future__ import annotations

import asyncio

import pytest
from tests.storage.upkeep_store import DAY, UpkeepStore, finalize, random_bytes, sha

from holdfast_server.domain.artifacts import Extent, Kind, NewEntry, Owner
from holdfast_server.domain.registry_history import Actor
from holdfast_server.domain.upkeep import HOUR_MS, Collected, FindingKind, Phase
from holdfast_server.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, Reason, Unavailable
from holdfast_server.services.commits import FIRST_STAGE_SIZE, InlineEntry
from holdfast_server.services.garbage import CollectionSettings, GarbageCollector
from holdfast_server.services.models import delete_model
from holdfast_server.services.registry import delete_version
from holdfast_server.services.runs import NewRun, create_run, get_run, restore_run
from holdfast_server.services.upkeep_lease import LEASE, LEASE_MS, upkeep_lease
from holdfast_server.storage.sql.connection import connect
from holdfast_server.storage.sql.garbage import REFERRING
from holdfast_server.storage.sql.purge import PURGED

MIB = 1 << 20


async def test_blocks_that_were_never_committed_go_after_their_grace(store: UpkeepStore):
    data = random_bytes(MIB)
    await store.write(data)
    store.advance(23 * HOUR_MS)
    assert (await store.collect(grace=DAY)).blocks == 0
    assert await store.artifacts.find_missing_blocks([sha(data)]) == []  # this extends its life
    store.advance(23 * HOUR_MS)
    assert (await store.collect(grace=DAY)).blocks == 0
    store.advance(2 * HOUR_MS)
    collected = await store.collect(grace=DAY)
    assert (collected.blocks, collected.block_bytes, collected.objects, collected.object_bytes) == (1, MIB, 1, MIB)
    assert store.listed() == set()
    assert await store.artifacts.find_missing_blocks([sha(data)]) == [sha(data)]
    await store.assert_clean()


async def test_what_files_need_stays_however_old_it_is(store: UpkeepStore):
    run, contents = await store.new_run(), {"small": b"x", "large": random_bytes(9 * MIB), "empty": b""}
    await store.put(run, contents)
    store.advance(400 * DAY)
    collected = await store.collect()
    assert collected == Collected(phase=Phase.DONE)
    for path, data in contents.items():
        assert await store.read(run, path) == data
    await store.assert_clean()


async def test_a_replaced_file_goes_and_readers_of_its_snapshot_are_told(store: UpkeepStore):
    run, old, new = await store.new_run(), random_bytes(100_000), random_bytes(100_000)
    first = await store.put(run, {"f": old})
    await store.put(run, {"f": new})
    entry = await store.artifacts.get_file(run, first, "f")
    assert (await store.collect(grace=DAY)).pruned_entries == 0
    assert await store.read(run, "f", first) == old
    collected = await store.collect()
    assert (collected.pruned_entries, collected.files, collected.block_bytes) == (1, 1, 100_000)
    with pytest.raises(FailedPrecondition, match="List or resolve again") as caught:
        await store.read(run, "f", first)
    assert caught.value.reason is Reason.SNAPSHOT_EXPIRED
    # One who looked the file up before is told the same, and does not get a part of it.
    with pytest.raises(FailedPrecondition, match="not kept any more"):
        [block async for block in store.artifacts.list_blocks(entry, 0, 1)]
    with pytest.raises(FailedPrecondition, match="not kept any more"):
        await store.artifacts.list_blocks_of([entry])
    assert await store.read(run, "f") == new
    await store.assert_clean()


async def test_removed_files_go_but_not_contents_that_others_have(store: UpkeepStore):
    one, two, shared, own = await store.new_run(), await store.new_run(), random_bytes(70_000), random_bytes(80_000)
    await store.put(one, {"d/shared": shared, "d/own": own})
    await store.put(two, {"shared": shared})
    await store.remove(one, "d")
    collected = await store.collect()
    assert (collected.files, collected.block_bytes) == (1, 80_000)
    assert await store.read(two, "shared") == shared
    await store.put(one, {"d/own": own})  # it is stored anew
    assert await store.read(one, "d/own") == own
    await store.assert_clean()


async def test_a_deleted_run_stays_restorable_until_it_is_purged(store: UpkeepStore):
    run, data = await store.new_run(), random_bytes(70_000)
    await store.put(run, {"f": data})
    await store.delete_run(run)
    store.advance(10 * DAY)
    assert (await store.collect()).blocks == 0
    assert (await store.collect(purge=11 * DAY)).purged_runs == 0
    await store.database.write(lambda tx: restore_run(tx, run.id))
    assert await store.read(run, "f") == data
    await store.delete_run(run)
    later = await store.new_run()
    store.advance(10 * DAY)
    collected = await store.collect(purge=10 * DAY)
    assert (collected.purged_runs, collected.block_bytes) == (1, 70_000)
    assert store.listed() == set()
    with pytest.raises(NotFound):
        await store.database.read(lambda tx: get_run(tx, run.id))
    with pytest.raises(NotFound):
        await store.put(run, {"f": data})
    assert (await store.database.read(lambda tx: get_run(tx, later.id))).is_active
    assert rows(store, "SELECT COUNT(*) FROM runs") == [(1,)]
    assert rows(store, "SELECT COUNT(*) FROM trees") == [(0,)]
    await store.collect()  # what the refused call had sent
    await store.assert_clean()


async def test_many_runs_are_pruned_and_purged_together(store: UpkeepStore):
    runs = [await store.new_run() for _ in range(60)]
    for run in runs:
        await store.put(run, {"f": b"old " + run.id.encode(), "g": b"kept"})
        await store.put(run, {"f": b"new " + run.id.encode()})
    collected = await store.collect()
    assert (collected.pruned_entries, collected.files, collected.blocks) == (60, 60, 60)
    for run in runs[:45]:
        await store.delete_run(run)
    collected = await store.collect(purge=0)
    assert (collected.purged_runs, collected.blocks) == (45, 45)
    for run in runs[45:]:
        assert await store.read(run, "f") == b"new " + run.id.encode()
        assert await store.read(run, "g") == b"kept"
    await store.assert_clean()


async def test_entries_of_a_commit_that_was_given_up_go(store: UpkeepStore):
    run = await store.new_run()
    await store.put(run, {"d": b"a file"})
    with pytest.raises(FailedPrecondition, match="cannot be a directory too"):
        await store.put(run, {f"d/{n}": random_bytes(10) for n in range(2_500)})
    collected = await store.collect()
    assert collected.blocks == 2_500
    assert rows(store, "SELECT COUNT(*) FROM entries") == [(1,)]
    await store.assert_clean()


async def test_contents_of_a_part_whose_predecessor_is_refused_are_kept_like_those_of_any_upload(store: UpkeepStore):
    def inline(path: str, data: bytes) -> InlineEntry:
        return InlineEntry(NewEntry(path, Kind.FILE, size=len(data), block_digests=(sha(data),)), data)

    refused = [inline("twice", b"a")] * (FIRST_STAGE_SIZE + 1)
    following = [inline(f"{n}", b"%d" % n) for n in range(2 * FIRST_STAGE_SIZE + 1)]
    commit = store.artifacts.begin_commit(await store.new_run())
    await commit.add([*refused, *following])
    with pytest.raises(InvalidArgument):
        await commit.finish()
    await commit.abandon()
    assert await store.artifacts.find_missing_blocks([sha(entry.data) for entry in following]) == []
    store.advance(2 * DAY)
    findings, _ = await store.check()
    assert [finding.kind for finding in findings] == [FindingKind.UNREFERENCED]  # and no object without a row


async def test_a_version_outlives_the_run_that_it_was_made_of(store: UpkeepStore):
    run, model, other = await store.new_run(), random_bytes(90_000), random_bytes(80_000)
    pinned = await store.put(run, {"model/weights": model})
    await store.register(f"runs:/{run.id}/model")
    await store.put(run, {"model/weights": other, "more": other})
    await store.delete_run(run)
    store.advance(DAY)
    collected = await store.collect(purge=DAY)
    assert (collected.purged_runs, collected.block_bytes) == (1, 80_000)
    assert await store.read(run, "model/weights", pinned) == model
    assert len((await store.artifacts.list_entries(run, pinned, "", recursive=True, after="", limit=10))[1]) == 2
    with pytest.raises(NotFound):
        await store.read(run, "model/weights")
    await store.assert_clean()
    await store.collect()
    assert await store.read(run, "model/weights", pinned) == model
    await store.database.write(lambda tx: delete_version(tx, Actor(), "registered", 1))
    assert (await store.collect()).block_bytes == 90_000
    assert rows(store, "SELECT COUNT(*) FROM trees") == [(0,)]
    assert store.listed() == set()


async def test_a_purged_model_goes_and_its_versions_stay(store: UpkeepStore):
    gone, kept = await store.new_model(), await store.new_model()
    contents = {model: random_bytes(70_000) for model in (gone, kept)}
    for model, data in contents.items():
        await store.put(model, {"w": data})
        await finalize(store, model)
    await store.register(f"models:/{kept.id}")
    for model in contents:
        await store.database.write(lambda tx, model=model: delete_model(tx, model.id))
    collected = await store.collect(purge=0)
    assert (collected.purged_models, collected.block_bytes) == (2, 70_000)
    assert await store.read(kept, "w", 1) == contents[kept]
    await store.assert_clean()


async def test_a_purged_id_may_come_again_and_begins_with_nothing(store: UpkeepStore):
    run, data = await store.new_run(), random_bytes(70_000)
    await store.put(run, {"f": data})
    await store.register(f"runs:/{run.id}/")
    await store.delete_run(run)
    await store.collect(purge=0)
    await store.database.write(lambda tx: create_run(tx, NewRun(run_id=run.id)))
    assert (await store.artifacts.list_entries(run, None, "", recursive=True, after="", limit=10))[1] == []
    await store.put(run, {"g": b"new"})
    await store.collect()
    assert await store.read(run, "g") == b"new"
    assert await store.read(run, "f", 1) == data
    await store.assert_clean()


async def test_objects_without_a_row_go_when_no_upload_can_own_them(store: UpkeepStore):
    run, data = await store.new_run(), random_bytes(70_000)
    await store.put(run, {"f": data})
    for key in ("blocks/ab/ab.1", "packs/cd/cd", "check/ef", "other/kept"):
        store.objects.put(key, [b"orphan"], sha(b"orphan"))
    assert (await store.collect(grace=0)).orphans == 0  # younger than an hour, whatever the grace
    store.advance(2 * HOUR_MS)
    assert (await store.collect(grace=DAY)).orphans == 0
    collected = await store.collect(grace=0)
    assert (collected.orphans, collected.object_bytes) == (3, 18)
    assert {key for key in store.listed() if key[:6] != "blocks"} == {"other/kept"}
    assert store.objects.get("holdfast-store", 0, 100)
    assert await store.read(run, "f") == data


async def test_what_was_stored_too_long_ago_is_not_recorded(store: UpkeepStore, monkeypatch: pytest.MonkeyPatch):
    """A machine that was suspended between the object and its row must not acknowledge what gc may have removed."""
    run, data, write = await store.new_run(), random_bytes(1_000), store.blocks.write

    def slow_write(blocks):
        extents = write(blocks)
        store.advance(HOUR_MS)
        return extents

    with monkeypatch.context() as patch:
        patch.setattr(store.blocks, "write", slow_write)
        for call in (store.write(data), store.put(run, {"f": data})):
            with pytest.raises(Unavailable, match="Send them again"):
                await call
    assert await store.artifacts.find_missing_blocks([sha(data)]) == [sha(data)]
    await store.put(run, {"f": data})
    store.advance(HOUR_MS)
    assert (await store.collect()).orphans == 2
    assert await store.read(run, "f") == data


async def test_an_object_that_cannot_be_removed_is_tried_again(store: UpkeepStore, monkeypatch: pytest.MonkeyPatch):
    contents = [random_bytes(1_000) for _ in range(3)]
    for data in contents:
        await store.write(data)
    stuck = f"blocks/{sha(contents[1]).hex()[:2]}/"
    delete = store.objects.delete

    def refuse(key: str) -> None:
        if key.startswith(stuck):
            raise Unavailable("The block store cannot be written.")
        delete(key)

    with monkeypatch.context() as patch:
        patch.setattr(store.objects, "delete", refuse)
        collected = await store.collect()
        assert (collected.blocks, collected.objects, collected.failures) == (3, 2, 1)
    assert [key[: len(stuck)] for key in store.listed()] == [stuck]
    await store.assert_clean()
    await store.write(contents[1])  # what is needed again meanwhile gets an object of its own
    collected = await store.collect(grace=DAY)
    assert (collected.blocks, collected.objects, collected.failures) == (0, 1, 0)
    assert await store.artifacts.find_missing_blocks([sha(contents[1])]) == []


async def test_half_written_files_go(store: UpkeepStore, tmp_path):
    incoming = tmp_path / "store" / ".incoming"
    if not incoming.is_dir():
        pytest.skip("only a directory has half-written files")
    (incoming / "left").write_bytes(b"half")
    assert (await store.collect()).orphans == 0
    store.advance(2 * HOUR_MS)
    assert (await store.collect()).orphans == 1
    assert list(incoming.iterdir()) == []


async def test_a_block_that_is_needed_again_after_it_was_found_stays(store: UpkeepStore):
    data = [random_bytes(1_000) for _ in range(3)]
    run = await store.new_run()
    for item in data:
        await store.write(item)
    store.advance(DAY)
    now = store.clock.now_ms()
    page = await store.database.read(lambda tx: tx.upkeep.garbage.find_loose_blocks(0, 100, before_ms=now))
    assert len(page.ids) == 3
    store.advance(1_000)
    await store.artifacts.find_missing_blocks([sha(data[0])])
    await store.put(run, {"f": data[1]})
    count, size = await store.database.write(lambda tx: tx.upkeep.garbage.delete_blocks(page.ids, before_ms=now))
    assert (count, size) == (1, 1_000)
    assert await store.artifacts.find_missing_blocks([sha(item) for item in data]) == [sha(data[2])]


async def test_a_content_that_is_committed_again_after_it_was_found_stays(store: UpkeepStore):
    run, data = await store.new_run(), random_bytes(1_000)
    await store.put(run, {"f": data})
    await store.remove(run, "f")
    store.advance(1)
    (tree,), _ = await store.database.read(lambda tx: tx.upkeep.history.list_unpruned(0, 9, before_ms=tx.now_ms))
    obsolete, _ = await store.database.read(lambda tx: tx.upkeep.history.find_obsolete(tree, "", 9))
    await store.database.write(lambda tx: tx.upkeep.history.delete_entries(tree, obsolete))
    page = await store.database.read(lambda tx: tx.upkeep.garbage.find_loose_files(0, 100))
    assert len(page.ids) == 1
    await store.put(run, {"again": data})
    assert await store.database.write(lambda tx: tx.upkeep.garbage.delete_files(page.ids, 100)) == (0, [])
    assert await store.read(run, "again") == data


async def test_a_long_file_goes_in_steps_and_no_commit_takes_a_part_of_it(store: UpkeepStore):
    run = await store.new_run()
    await store.write(b"a" * 10)
    await store.put(run, {"f": b"a" * 10})
    connection = connect(store.path)
    try:  # a file of 1,000 blocks in rows only
        connection.execute("INSERT INTO files (file_id, digest, size) VALUES (77, ?, 8000000000)", (sha(b"long"),))
        connection.executemany(
            "INSERT INTO file_blocks SELECT 77, ?, block_id FROM blocks LIMIT 1", [(n,) for n in range(1_000)]
        )
        assert await store.database.write(lambda tx: tx.upkeep.garbage.delete_files([77], 600)) == (0, [77])
        assert rows(
            store, "SELECT LENGTH(digest) = 32, (SELECT COUNT(*) FROM file_blocks) FROM files WHERE file_id = 77"
        ) == [(0, 401)]
        assert await store.database.write(lambda tx: tx.upkeep.garbage.delete_files([77], 600)) == (1, [])
    finally:
        connection.close()
    await store.assert_clean()


async def test_one_process_at_a_time_works_on_a_store(store: UpkeepStore):
    collector, settings = GarbageCollector(store.access), CollectionSettings()
    async with upkeep_lease(store.database, "one", "Process 7 on host (collecting garbage)") as lease:
        with pytest.raises(FailedPrecondition, match=r"Process 7 on host .* since ") as caught:
            await collector.collect(settings, Collected())
        assert caught.value.reason is Reason.UPKEEP_RUNNING
        with pytest.raises(FailedPrecondition, match="Process 7"):
            await store.check()
        store.advance(LEASE_MS + 1)  # it did not renew the lease, as if it had died
        await collector.collect(settings, Collected())
        with pytest.raises(Conflict, match="another one took over"):
            await lease.write(lambda tx: tx.now_ms)
    assert rows(store, "SELECT * FROM leases") == []


async def test_a_collection_that_is_cancelled_gives_the_lease_back(store: UpkeepStore):
    task = asyncio.create_task(GarbageCollector(store.access).collect(CollectionSettings(), Collected()))
    while not rows(store, "SELECT * FROM leases") and not task.done():  # noqa: ASYNC110 - the database tells nobody
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rows(store, "SELECT * FROM leases") == []


async def test_another_store_is_not_judged(store: UpkeepStore):
    await store.put(await store.new_run(), {"f": b"x"})
    store.objects.delete("holdfast-store")
    for work in (store.check(repair=True), GarbageCollector(store.access).collect(CollectionSettings(), Collected())):
        with pytest.raises(FailedPrecondition, match="not the one of this database") as caught:
            await work
        assert caught.value.reason is Reason.STORE_MISMATCH
    assert rows(store, "SELECT state FROM blocks") == [(0,)]
    assert rows(store, f"SELECT COUNT(*) FROM leases WHERE name = '{LEASE}'") == [(0,)]


async def test_an_object_whose_row_was_not_made_is_not_needed(store: UpkeepStore):
    """What a move wrote for blocks that went meanwhile is given back."""
    await store.write(b"gone")
    (block,) = await store.database.read(lambda tx: tx.upkeep.garbage.list_blocks_in(1))
    await store.collect()
    place = Extent("packs/00/new", 0, 4)
    given_back = await store.database.write(
        lambda tx: tx.upkeep.garbage.move_blocks([(block, place)], kept_until_ms=tx.now_ms)
    )
    assert given_back == [place]
    assert rows(store, "SELECT * FROM objects") == []


async def test_every_table_that_needs_blocks_keeps_them(store: UpkeepStore):
    connection = connect(store.path)
    try:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        referring = {
            table
            for table in tables
            for key in connection.execute(f"PRAGMA foreign_key_list({table})")
            if key["table"] == "blocks" and key["on_delete"] != "CASCADE"  # those go with the block
        }
        assert referring == set(REFERRING), "list the table in storage/sql/garbage.py"
        for table in referring:
            plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE block_id = 1").fetchall()
            assert "INDEX" in plan[0]["detail"], f"{table} needs an index on block_id"
    finally:
        connection.close()


async def test_metrics_of_a_purged_run_go_in_steps_and_its_number_is_not_used_again(store: UpkeepStore):
    run = await store.new_run()
    connection = connect(store.path)
    try:
        connection.executemany(
            "INSERT INTO metric_points VALUES (1, 'loss', ?, 0, ?, 0.5, 0, '', '', '')", [(n, n) for n in range(5_000)]
        )
    finally:
        connection.close()
    await store.delete_run(run)
    await store.collect(purge=0)
    assert rows(store, "SELECT COUNT(*) FROM metric_points") == [(0,)]
    assert rows(store, "SELECT run_no, lifecycle FROM runs") == [(1, PURGED)]
    await store.new_run()
    await store.collect()
    assert rows(store, "SELECT run_no, lifecycle FROM runs") == [(2, "active")]


def rows(store: UpkeepStore, statement: str) -> list[tuple]:
    connection = connect(store.path, read_only=True)
    try:
        return [tuple(row) for row in connection.execute(statement)]
    finally:
        connection.close()


def test_owners_of_purged_trees_are_no_owners():
    with pytest.raises(Exception, match="32"):
        Owner.parse(f"{PURGED} 1 {'a' * 32}")
