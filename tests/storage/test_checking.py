"""Checking every kind of store: all damage is found, what is whole is not blamed, and logging again heals."""

from __future__ import annotations

import random

import pytest
from tests.storage.upkeep_store import DAY, UpkeepStore, random_bytes, sha

from holdfast_server.domain.artifacts import Kind, NewEntry, Owner
from holdfast_server.domain.upkeep import HOUR_MS, Finding, FindingKind, Place
from holdfast_server.errors import DataLoss
from holdfast_server.services.commits import FIRST_STAGE_SIZE, STAGE_SIZE, BlocksMissing
from holdfast_server.storage.sql.connection import connect

MIB = 1 << 20
# Commits whose entries are staged before all have come: the last part of the first is staged by what makes it visible.
in_several_parts = pytest.mark.parametrize("count", [FIRST_STAGE_SIZE + 50, STAGE_SIZE + 1], ids=["few", "many"])


@pytest.fixture
async def logged(store: UpkeepStore) -> tuple[Owner, dict[str, bytes]]:
    """A run with a pack of small files, a file of one block and one of two, as they are in the store."""
    run = await store.new_run()
    files = {f"small/{n}": random_bytes(900 + n) for n in range(20)}
    files |= {"one": random_bytes(MIB), "two": random_bytes(9 * MIB)}
    await store.put(run, files)
    return run, files


async def unreadable(store: UpkeepStore, run: Owner, files: dict[str, bytes]) -> set[str]:
    """Paths that cannot be read; the others are what was logged."""
    lost = set()
    for path, data in files.items():
        try:
            assert await store.read(run, path) == data
        except DataLoss:
            lost.add(path)
    return lost


def problems(findings: list[Finding]) -> list[FindingKind]:
    return [finding.kind for finding in findings if finding.kind.is_problem]


async def test_a_sound_store_is_clean(store: UpkeepStore, logged):
    _, files = logged
    findings, checked = await store.check()
    assert findings == []
    size = sum(map(len, files.values()))
    assert (checked.objects, checked.blocks, checked.block_bytes, checked.read_bytes) == (4, 23, size, size)


@pytest.mark.parametrize("seed", range(8))
async def test_every_flipped_bit_is_found_on_read_and_by_a_deep_check(store: UpkeepStore, logged, seed: int):
    run, files = logged
    rng = random.Random(seed)
    key = rng.choice(sorted(store.listed()))
    data = bytearray(store.content(key))
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    store.overwrite(key, bytes(data))
    lost = await unreadable(store, run, files)
    assert len(lost) == 1
    assert (await store.check(deep=False))[0] == []
    findings, checked = await store.check()
    assert problems(findings) == [FindingKind.CORRUPT]
    assert findings[0].affected == (Place(run.id, lost.pop()),)
    assert (findings[0].object_key, findings[0].repaired, checked.problems) == (key, False, 1)


@pytest.mark.parametrize("seed", range(4))
async def test_every_removed_or_truncated_object_is_found_without_reading(store: UpkeepStore, logged, seed: int):
    run, files = logged
    rng = random.Random(seed)
    key = rng.choice(sorted(store.listed()))
    if seed % 2:
        store.objects.delete(key)
        kind = FindingKind.MISSING
    else:
        data = store.content(key)
        store.overwrite(key, data[: rng.randrange(len(data) - 1, len(data)) if seed else rng.randrange(len(data))])
        kind = FindingKind.TRUNCATED
    lost = await unreadable(store, run, files)
    assert lost
    for deep in (False, True):
        findings, _ = await store.check(deep=deep)
        assert set(problems(findings)) == {kind}
        assert {place.path for finding in findings for place in finding.affected} == lost


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
async def test_a_repair_lets_logging_the_same_again_heal_every_file(store: UpkeepStore, logged, damage: str):
    run, files = logged
    other = await store.new_run()
    await store.put(other, {"copy/one": files["one"], "copy/3": files["small/3"]})
    for key in list(store.listed()):
        data = store.content(key)
        if damage == "flip":
            store.overwrite(key, bytes([data[0] ^ 1]) + data[1:-1] + bytes([data[-1] ^ 1]))
        elif damage == "truncate":
            store.overwrite(key, data[: len(data) // 2])
        else:
            store.objects.delete(key)
    lost = await unreadable(store, run, files)
    digests = {sha(files[path]) for path in lost if path != "two"}
    findings, checked = await store.check(repair=True)
    assert all(finding.repaired for finding in findings if finding.kind.is_problem)
    assert checked.repaired == checked.problems > 0
    assert set(await store.artifacts.find_missing_blocks(list(digests))) == digests
    # Until then it is still a problem, and still unreadable.
    assert set(problems((await store.check())[0])) == {FindingKind.LOST}
    assert await unreadable(store, run, files) == lost
    await store.put(await store.new_run(), files)
    assert await unreadable(store, run, files) == set()
    assert await store.read(other, "copy/one") == files["one"]
    assert await store.read(other, "copy/3") == files["small/3"]
    store.advance(2 * HOUR_MS)
    await store.collect()
    await store.assert_clean()


async def test_a_repair_keeps_what_can_be_read(store: UpkeepStore, logged):
    run, files = logged
    before = store.listed()
    await store.check(repair=True)
    assert store.listed() == before
    assert await unreadable(store, run, files) == set()
    pack = next(key for key in before if key.startswith("packs/"))
    data = bytearray(store.content(pack))
    data[0] ^= 1
    store.overwrite(pack, bytes(data))
    await store.check(repair=True)
    assert store.listed() == before
    assert len(await unreadable(store, run, files)) == 1


async def test_a_commit_of_a_known_content_whose_block_is_lost_asks_for_it(store: UpkeepStore):
    run, data = await store.new_run(), random_bytes(MIB)
    await store.put(run, {"f": data})
    for key in store.listed():
        store.objects.delete(key)
    await store.check(repair=True)
    commit = store.artifacts.begin_commit(run)
    await commit.add([NewEntry("g", Kind.FILE, size=len(data), block_digests=(sha(data),))])
    with pytest.raises(BlocksMissing) as caught:
        await commit.finish()
    assert caught.value.digests == [sha(data)]


@in_several_parts
@pytest.mark.parametrize("known", [True, False], ids=["of a file that is there", "of its own"])
async def test_a_repair_while_a_large_commit_is_staged_makes_it_ask_for_what_is_lost(
    store: UpkeepStore, known: bool, count: int
):
    run, other, data = await store.new_run(), await store.new_run(), random_bytes(MIB)
    await store.put(other, {"kept": random_bytes(MIB), **({"f": data} if known else {})})
    if not known:
        await store.write(data)
    many = [NewEntry(f"d/{n}", Kind.DIRECTORY) for n in range(count)]
    entry = NewEntry("f", Kind.FILE, size=len(data), block_digests=(sha(data),))
    commit = store.artifacts.begin_commit(run)
    await commit.add([entry, *many])
    await commit.flush()
    key = next(key for key in store.listed() if sha(data).hex() in key)
    store.objects.delete(key)
    _, checked = await store.check(repair=True)
    assert checked.repaired == 1
    with pytest.raises(BlocksMissing) as caught:
        await commit.finish()
    assert caught.value.digests == [sha(data)]
    await commit.abandon()
    assert await store.database.read(lambda tx: tx.trees.latest_sequence(run)) == 0
    await store.write(data)
    commit = store.artifacts.begin_commit(run)
    await commit.add([entry, *many])
    await commit.finish()
    assert await store.read(run, "f") == data


@in_several_parts
async def test_a_repair_of_what_a_large_commit_does_not_need_is_none_of_its_business(store: UpkeepStore, count: int):
    run, data, lost = await store.new_run(), random_bytes(MIB), random_bytes(MIB)
    await store.put(await store.new_run(), {"lost": lost})
    await store.write(data)
    commit = store.artifacts.begin_commit(run)
    await commit.add([NewEntry(f"d/{n}", Kind.DIRECTORY) for n in range(count)])
    await commit.add([NewEntry("f", Kind.FILE, size=len(data), block_digests=(sha(data),))])
    store.objects.delete(next(key for key in store.listed() if sha(lost).hex() in key))
    assert (await store.check(repair=True))[1].repaired == 1
    await commit.finish()
    assert await store.read(run, "f") == data


async def test_orphans_and_unreferenced_blocks_are_reported_and_no_problem(store: UpkeepStore, logged):
    run, files = logged
    await store.write(b"never committed")
    store.objects.put("packs/00/orphan", [b"orphan"], sha(b"orphan"))
    findings, _ = await store.check()
    assert [f.kind for f in findings] == [FindingKind.UNREFERENCED]  # the object may belong to an upload
    store.advance(2 * DAY)
    findings, checked = await store.check()
    assert [f.kind for f in findings] == [FindingKind.ORPHANED, FindingKind.UNREFERENCED]
    assert (findings[0].object_key, findings[0].size, findings[0].repaired) == ("packs/00/orphan", 6, False)
    assert (findings[1].size, checked.problems) == (15, 0)
    findings, checked = await store.check(repair=True)
    assert [f.repaired for f in findings] == [True, False]
    assert "packs/00/orphan" not in store.listed()
    assert await unreadable(store, run, files) == set()


async def test_rows_that_contradict_each_other_are_found(store: UpkeepStore, logged):
    run, _ = logged
    await store.register(f"runs:/{run.id}/small")
    connection = connect(store.path)
    try:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("UPDATE files SET size = size + 1 WHERE file_id = 1")
        connection.execute('UPDATE blocks SET "offset" = 1000000 WHERE block_id = 2')
        connection.execute("DELETE FROM file_blocks WHERE file_id = 3")
        connection.execute("DELETE FROM blocks WHERE block_id = (SELECT block_id FROM file_blocks WHERE file_id = 4)")
        connection.execute("UPDATE model_versions SET sequence = 77")
    finally:
        connection.close()
    findings, _ = await store.check(deep=False)
    texts = "\n".join(finding.message for finding in findings if finding.kind is FindingKind.DANGLING)
    assert "File 1 has" in texts
    assert "ends behind its object" in texts
    assert "File 3 has" in texts
    assert "A row of file_blocks refers to a row of blocks that is not there" in texts
    assert "Version 1 of model registered shows a snapshot that is not there" in texts


async def test_many_findings_do_not_stop_a_check(store: UpkeepStore):
    run = await store.new_run()
    await store.put(run, {str(n): random_bytes(200) for n in range(1_200)})
    for key in store.listed():
        store.objects.delete(key)
    findings, checked = await store.check(deep=False)
    assert problems(findings) == [FindingKind.MISSING] * 1_200
    assert checked.problems == 1_200
