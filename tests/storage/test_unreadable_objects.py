"""An object that the store gives an error for is told as damage, or passed over; the rest of the work goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.storage.upkeep_store import UpkeepStore, random_bytes, sha

from holdfast_server.domain.upkeep import HOUR_MS, Finding, FindingKind, Place
from holdfast_server.errors import Unavailable
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.services.store_access import ATTEMPTS
from holdfast_server.storage.blocks.identity import MARKER

MIB = 1 << 20
FLIPPED = "bits flipped on MinIO's disk"  # which it notices by itself, in the middle of its answer

pytestmark = pytest.mark.parametrize(
    ("store", "how"),
    [
        pytest.param("local", "a directory", id="directory"),
        pytest.param("local", "a link to itself", id="link"),
        pytest.param("minio", FLIPPED, marks=pytest.mark.minio, id="minio"),
    ],
    indirect=["store"],
)
Broken = Callable[[str], contextlib.AbstractContextManager[None]]


@pytest.fixture
def broken(request: pytest.FixtureRequest, how: str, tmp_path: Path) -> Broken:
    """Makes an object unreadable meanwhile, while the store answers on; it is afterwards what it was."""
    directory = tmp_path / "store"
    if how == FLIPPED:
        server, bucket = request.getfixturevalue("minio"), request.getfixturevalue("minio_bucket")
        directory = Path(server.directory.name, "data", bucket)

    @contextlib.contextmanager
    def broken(key: str) -> Iterator[None]:
        path = directory / key
        if how == FLIPPED:
            path = next(path.glob("*/part.*"), path / "xl.meta")
        whole = path.read_bytes()
        path.unlink()
        if how == "a directory":
            path.mkdir()
        elif how == "a link to itself":
            path.symlink_to(path.name)
        else:
            path.write_bytes(whole[:-9] + bytes(byte ^ 1 for byte in whole[-9:]))
        try:
            yield
        finally:
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(whole)

    return broken


def problems(findings: list[Finding]) -> list[FindingKind]:
    return [finding.kind for finding in findings if finding.kind.is_problem]


def key_of(store: UpkeepStore, data: bytes) -> str:
    """The object that holds a block alone."""
    return next(key for key in store.listed() if sha(data).hex() in key)


def note(store: UpkeepStore, take: Callable[[bool], None]) -> None:
    """Tell ``take`` of each of a check's reads before it is made, and how patiently; it may raise instead."""

    class Noting:
        def __init__(self, objects: ObjectStore) -> None:
            self._objects = objects

        def __getattr__(self, name: str) -> object:
            return getattr(self._objects, name)

        def get(self, key: str, offset: int, length: int, *, patient: bool = True) -> bytes:
            take(patient)
            return self._objects.get(key, offset, length, patient=patient)

    store.access = dataclasses.replace(store.access, objects=Noting(store.access.objects))


async def test_a_check_names_what_cannot_be_read_and_goes_on(store: UpkeepStore, broken: Broken):
    run, other, one, two = await store.new_run(), await store.new_run(), random_bytes(MIB), random_bytes(MIB)
    await store.put(run, {"one": one, "two": two, **{f"small/{n}": random_bytes(900) for n in range(5)}})
    await store.put(other, {"copy": one})
    key = key_of(store, one)
    store.objects.delete(key_of(store, two))
    with broken(key):
        findings, checked = await store.check()
    assert sorted(kind.value for kind in problems(findings)) == ["missing", "unreadable"]
    (finding,) = [finding for finding in findings if finding.kind is FindingKind.UNREADABLE]
    assert (finding.digest, finding.object_key, finding.size, finding.repaired) == (sha(one), key, MIB, False)
    assert set(finding.affected) == {Place(run.id, "one"), Place(other.id, "copy")}
    assert "The block store" in finding.message  # what it says about it
    assert checked.problems == 2
    assert problems((await store.check())[0]) == [FindingKind.MISSING]  # it was whole all the time


async def test_a_repair_of_what_cannot_be_read_is_taken_back_when_it_can(store: UpkeepStore, broken: Broken):
    run, data = await store.new_run(), random_bytes(MIB)
    await store.put(run, {"f": data})
    with broken(key_of(store, data)):
        findings, checked = await store.check(repair=True)
        assert (problems(findings), checked.repaired) == ([FindingKind.UNREADABLE], 1)
        assert await store.artifacts.find_missing_blocks([sha(data)]) == [sha(data)]
        findings, checked = await store.check(repair=True)
        assert (problems(findings), checked.repaired) == ([FindingKind.LOST], 0)
        assert "still is" in findings[0].message
        store.advance(48 * HOUR_MS)
        await store.collect()  # removes nothing of it
    assert await store.read(run, "f") == data
    findings, checked = await store.check()
    assert (problems(findings), checked.repaired, findings[0].affected) == ([FindingKind.LOST], 0, ())
    assert "can be read again" in findings[0].message
    findings, checked = await store.check(repair=True)
    assert (problems(findings), checked.repaired) == ([FindingKind.LOST], 1)
    assert await store.artifacts.find_missing_blocks([sha(data)]) == []
    await store.assert_clean()


async def test_logging_again_after_a_repair_heals_what_cannot_be_read(store: UpkeepStore, broken: Broken):
    run, data = await store.new_run(), random_bytes(MIB)
    await store.put(run, {"f": data})
    with broken(key_of(store, data)):
        await store.check(repair=True)
        await store.put(await store.new_run(), {"g": data})
        assert await store.read(run, "f") == data
        await store.assert_clean()


async def test_a_store_that_does_not_answer_is_not_taken_for_damaged(store: UpkeepStore, broken: Broken):
    run, data = await store.new_run(), random_bytes(MIB)
    await store.put(run, {"f": data})
    confirm, asked = store.access.check_identity, []

    def confirm_once() -> None:
        """The store answers when the check begins, and then no more."""
        asked.append(1)
        with broken(MARKER) if len(asked) > 1 else contextlib.nullcontext():
            confirm()

    store.access = dataclasses.replace(store.access, check_identity=confirm_once)
    with broken(key_of(store, data)), pytest.raises(Unavailable):
        await store.check(repair=True)
    store.access = dataclasses.replace(store.access, check_identity=confirm)
    await store.assert_clean()


async def test_a_pack_that_cannot_be_read_is_passed_over_and_others_are_rewritten(
    store: UpkeepStore, broken: Broken, caplog: pytest.LogCaptureFixture
):
    run = await store.new_run()
    contents = {f"{pack}/{n}": random_bytes(1_000) for pack in range(2) for n in range(10)}
    await store.put(run, {path: data for path, data in contents.items() if path[0] == "0"})
    (bad,) = store.listed()
    await store.put(run, {path: data for path, data in contents.items() if path[0] == "1"})
    (good,) = store.listed() - {bad}
    kept = [path for path in contents if path[2:] in {"0", "1"}]
    await store.remove(run, *(path for path in contents if path not in kept))
    with broken(bad), caplog.at_level(logging.WARNING):
        collected = await store.collect()
        assert (collected.compacted_packs, collected.moved_bytes, collected.failures) == (1, 2_000, 1)
        assert f"pack {bad} was not rewritten: " in caplog.text
    assert bad in store.listed()
    assert good not in store.listed()
    for path in kept:
        assert await store.read(run, path) == contents[path]
    assert (await store.collect()).compacted_packs == 1
    await store.assert_clean()


async def test_of_a_pack_that_gives_errors_only_one_block_is_waited_for(store: UpkeepStore, broken: Broken):
    run = await store.new_run()
    await store.put(run, {f"{n}": random_bytes(1_000) for n in range(10)})
    (key,) = store.listed()
    asked: list[bool] = []
    note(store, asked.append)
    with broken(key):
        findings, _ = await store.check()
    assert problems(findings) == [FindingKind.UNREADABLE] * 10
    assert (asked.count(True), asked.count(False)) == (ATTEMPTS, 9 * ATTEMPTS)


async def test_blocks_of_which_a_read_fails_but_once_count_as_present(store: UpkeepStore, broken: Broken):
    run = await store.new_run()
    await store.put(run, {f"{n}": random_bytes(1_000) for n in range(10)})
    (key,) = store.listed()
    whole = contextlib.ExitStack()
    asked: list[bool] = []

    def fail_the_first_block_and_then_every_other_read(patient: bool) -> None:
        if not asked:
            whole.pop_all().close()  # so much for the read of all of them together
        asked.append(patient)
        if len(asked) <= ATTEMPTS or len(asked) % 2:
            raise Unavailable("The block store gave an error.")

    note(store, fail_the_first_block_and_then_every_other_read)
    whole.enter_context(broken(key))
    findings, checked = await store.check(repair=True)
    assert (problems(findings), checked.repaired) == ([FindingKind.UNREADABLE], 1)
    assert asked == [True] * ATTEMPTS + [False] * 2 + [True] * 2 * 8
