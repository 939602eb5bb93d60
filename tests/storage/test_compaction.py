"""Packs that are mostly unused are rewritten, over every store, and what is read meanwhile is found."""

from __future__ import annotations

from tests.storage.upkeep_store import DAY, UpkeepStore, random_bytes

from holdfast_server.domain.upkeep import HOUR_MS

MIB = 1 << 20


async def test_a_pack_that_is_mostly_unused_is_rewritten_with_others(store: UpkeepStore):
    run = await store.new_run()
    contents = {f"{pack}/{n}": random_bytes(1_000 + n) for pack in range(3) for n in range(40)}
    for pack in range(3):
        await store.put(run, {path: data for path, data in contents.items() if path.startswith(f"{pack}/")})
    before = store.listed()
    assert len(before) == 3
    removed = [path for path in contents if int(path[2:]) >= 15 and path[0] != "2"]
    await store.remove(run, *removed)
    entries = {path: await store.artifacts.get_file(run, None, path) for path in contents if path not in removed}
    blocks = await store.artifacts.list_blocks_of(list(entries.values()))
    collected = await store.collect(grace=0)
    kept_bytes = sum(len(contents[path]) for path in entries if path[0] != "2")
    assert (collected.compacted_packs, collected.moved_bytes, collected.objects) == (2, kept_bytes, 2)
    after = store.listed()
    assert len(after) == 2
    assert len(after & before) == 1
    for path, data in contents.items():
        if path in entries:
            assert await store.read(run, path) == data
            # A reader that looked it up before finds it at its new place.
            assert await store.artifacts.read_blocks(blocks[entries[path].file_id]) == [data]
    assert (await store.collect()).compacted_packs == 0
    await store.assert_clean()


async def test_many_blocks_of_a_pack_move_in_steps(store: UpkeepStore):
    run, contents = await store.new_run(), {str(n): random_bytes(20) for n in range(1_300)}
    await store.write(*contents.values())  # together, where a commit with its contents would make a pack for each part
    await store.put(run, contents)
    assert len(store.listed()) == 1
    await store.remove(run, *(str(n) for n in range(699)))
    collected = await store.collect()
    assert (collected.compacted_packs, collected.moved_bytes, collected.objects) == (1, 601 * 20, 1)
    assert len(store.listed()) == 2  # of 500 and 101 blocks
    for number in range(699, 1_300):
        assert await store.read(run, str(number)) == contents[str(number)]
    await store.assert_clean()


async def test_a_replaced_pack_lives_an_hour_longer(store: UpkeepStore):
    run = await store.new_run()
    await store.put(run, {str(n): random_bytes(1_000 + n) for n in range(10)})
    (pack,) = store.listed()
    await store.remove(run, *(str(n) for n in range(8)))
    store.advance(2 * DAY)
    assert (await store.collect(grace=DAY)).compacted_packs == 1
    assert len(store.listed()) == 2
    await store.assert_clean()
    store.advance(HOUR_MS - 60_000)
    assert (await store.collect(grace=DAY)).objects == 0
    store.advance(60_000)
    assert (await store.collect(grace=DAY)).objects == 1
    assert len(store.listed()) == 1
    assert pack not in store.listed()


async def test_a_damaged_pack_is_not_compacted(store: UpkeepStore):
    run = await store.new_run()
    contents = {str(n): random_bytes(1_000) for n in range(10)}
    await store.put(run, contents)
    (pack,) = store.listed()
    await store.remove(run, *(str(n) for n in range(8)))
    store.overwrite(pack, bytes(10_000))
    collected = await store.collect()
    assert (collected.moved_bytes, collected.failures) == (0, 1)
    assert store.listed() == {pack}
