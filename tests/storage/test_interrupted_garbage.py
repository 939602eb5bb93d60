"""A collection that dies before or after any of its steps: nothing is lost, and the next one goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from tests.storage.upkeep_store import UpkeepStore, random_bytes

from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.upkeep import Collected, Phase
from holdfast_server.services.garbage import CollectionSettings, GarbageCollector
from holdfast_server.services.upkeep_lease import LEASE_MS

Kept = dict[Owner, dict[str, bytes]]


class Died(Exception):  # noqa: N818 - what it is
    """The process is gone: this step was not done, or nobody heard that it was; and no further one is."""


class Mortal:
    """Counts steps, and dies at one of them."""

    def __init__(self, step: int, *, after: bool) -> None:
        self._left, self._after = step, after

    def dies(self, *, after: bool) -> bool:
        """Whether this is the moment, or it is over."""
        if after != self._after and self._left >= 0:
            return False
        self._left -= 1
        return self._left < 0

    def blocking(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            if self.dies(after=False):
                raise Died
            result = work(*args)
            if self.dies(after=True):
                raise Died
            return result

        return step

    def awaited(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def step(*args: Any) -> Any:
            if self.dies(after=False):
                raise Died
            result = await work(*args)
            if self.dies(after=True):
                raise Died
            return result

        return step


async def make_garbage(store: UpkeepStore, kept: Kept) -> None:
    """Something for every step: a half-empty pack, a replaced and a removed file, a purged run."""
    run, gone, pinned = [await store.new_run() for _ in range(3)]
    files = {f"small/{n}": random_bytes(300) for n in range(12)}
    await store.put(run, files | {"large": random_bytes(70_000)})
    await store.remove(run, *(f"small/{n}" for n in range(8)))
    kept[run] = {f"small/{n}": files[f"small/{n}"] for n in range(8, 12)} | {"large": random_bytes(70_000)}
    await store.put(run, {"large": kept[run]["large"]})
    await store.put(gone, {"f": random_bytes(70_000)})
    await store.put(pinned, {"model": random_bytes(500), "other": random_bytes(600)})
    await store.write(random_bytes(1_000))
    for owner in (gone, pinned):
        await store.delete_run(owner)


async def assert_sound(store: UpkeepStore, kept: Kept) -> None:
    findings, checked = await store.check()
    assert checked.problems == 0, findings
    for run, files in kept.items():
        for path, data in files.items():
            assert await store.read(run, path) == data


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whatever_step_it_dies_at(store: UpkeepStore, monkeypatch: pytest.MonkeyPatch, after: bool):
    kept: Kept = {}
    died = set[Phase]()
    for step in itertools.count(1):
        await make_garbage(store, kept)
        store.advance(1)
        mortal, collected = Mortal(step, after=after), Collected()
        with monkeypatch.context() as patch:
            patch.setattr(store.database, "write", mortal.awaited(store.database.write))
            for name in ("put", "delete"):
                patch.setattr(store.objects, name, mortal.blocking(getattr(store.objects, name)))
            try:
                await GarbageCollector(store.access).collect(CollectionSettings(grace_ms=0, purge_ms=0), collected)
            except Died:
                died.add(collected.phase)
            else:
                break
        store.advance(LEASE_MS + 1)
        await assert_sound(store, kept)
        await store.collect(purge=0)
    assert died >= {Phase.PURGING, Phase.PRUNING, Phase.FILES, Phase.BLOCKS, Phase.COMPACTING, Phase.OBJECTS}
    store.advance(3_600_000)
    await store.collect(purge=0)
    await store.assert_clean()
    await assert_sound(store, kept)
    _, checked = await store.check()
    assert (
        sum(item.size for item in store.objects.list_objects() if item.key != "holdfast-store")
        < 2 * checked.block_bytes
    )
