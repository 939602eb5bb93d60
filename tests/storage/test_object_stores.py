"""One suite over every object store: in memory, in a directory, and in a real MinIO."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.blocks.memory import MemoryObjectStore
from holdfast_server.storage.blocks.s3 import S3ObjectStore, open_s3_store

MIB = 1 << 20


@pytest.fixture(
    params=[
        pytest.param("memory"),
        pytest.param("local"),
        pytest.param("minio", marks=pytest.mark.minio),
        pytest.param("minio-prefix", marks=pytest.mark.minio),
        pytest.param("minio-unsigned", marks=pytest.mark.minio),
    ]
)
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ObjectStore]]:
    """Opens the same store, as often as it is called."""
    opened: list[S3ObjectStore] = []

    def open_minio() -> ObjectStore:
        url = request.getfixturevalue("minio_store_url")
        store = open_s3_store(url.replace("?", "team/a?") if request.param == "minio-prefix" else url)
        if request.param == "minio-unsigned":
            store._signer = None  # what a version of minio-py without the private function leaves
        opened.append(store)
        return store

    memory = MemoryObjectStore()
    makers: dict[str, Callable[[], ObjectStore]] = {
        "memory": lambda: memory,
        "local": lambda: LocalObjectStore(tmp_path / "store"),
    }
    if request.param.startswith("minio"):
        request.getfixturevalue("minio_store_url")
    yield makers.get(request.param, open_minio)
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store: Callable[[], ObjectStore]) -> ObjectStore:
    store = make_store()
    store.check()
    return store


def put(store: ObjectStore, key: str, *parts: bytes) -> None:
    store.put(key, parts, hashlib.sha256(b"".join(parts)).digest())


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"hello"], id="one small part"),
        pytest.param([], id="no part"),
        pytest.param([b""], id="an empty part"),
        pytest.param([b"", b"a", b"", b"bc"], id="empty parts among others"),
        pytest.param([bytes([i % 256]) * 700 for i in range(2000)], id="many small parts"),
        pytest.param([bytes([i]) * MIB for i in range(8)], id="a whole block in chunks"),
        pytest.param([bytes(range(256)) * (MIB // 16)], id="a pack in one part"),
    ],
)
def test_what_was_put_comes_back(store: ObjectStore, parts: list[bytes]):
    put(store, "blocks/ab/abcd.01", *parts)
    whole = b"".join(parts)
    assert store.get("blocks/ab/abcd.01", 0, len(whole)) == whole


def test_memoryviews_are_stored_as_bytes_are(store: ObjectStore):
    data = os.urandom(3 * MIB)
    view = memoryview(data)
    store.put("blocks/aa/view.1", [view[:MIB], data[MIB : 2 * MIB], view[2 * MIB :]], hashlib.sha256(data).digest())
    assert store.get("blocks/aa/view.1", 0, len(data)) == data


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        pytest.param(0, 10, b"0123456789", id="all"),
        pytest.param(0, 1, b"0", id="first byte"),
        pytest.param(9, 1, b"9", id="last byte"),
        pytest.param(3, 4, b"3456", id="middle"),
        pytest.param(6, 100, b"6789", id="beyond the end"),
        pytest.param(0, 100, b"0123456789", id="more than all"),
        pytest.param(10, 5, b"", id="from the end"),
        pytest.param(50, 5, b"", id="past the end"),
        pytest.param(0, 0, b"", id="nothing"),
        pytest.param(4, 0, b"", id="nothing from the middle"),
    ],
)
def test_a_range_is_read(store: ObjectStore, offset: int, length: int, expected: bytes):
    put(store, "packs/00/range", b"01234", b"56789")
    assert store.get("packs/00/range", offset, length) == expected


@pytest.mark.parametrize("length", [0, 10])
def test_an_empty_object_is_there(store: ObjectStore, length: int):
    put(store, "packs/00/empty")
    assert store.get("packs/00/empty", 0, length) == b""


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 5), (7, 5)])
def test_a_missing_object_is_a_key_error(store: ObjectStore, offset: int, length: int):
    with pytest.raises(KeyError) as caught:
        store.get("blocks/ab/none", offset, length)
    assert caught.value.args == ("blocks/ab/none",)


def test_a_deleted_object_is_gone_and_deleting_again_is_passed_over(store: ObjectStore):
    put(store, "blocks/ab/x.1", b"x")
    put(store, "blocks/ab/x.2", b"x")
    store.delete("blocks/ab/x.1")
    store.delete("blocks/ab/x.1")
    with pytest.raises(KeyError):
        store.get("blocks/ab/x.1", 0, 1)
    assert store.get("blocks/ab/x.2", 0, 1) == b"x"


def test_listing_shows_keys_sizes_and_times(store: ObjectStore):
    before = int(time.time() * 1000) - 2000
    contents = {"blocks/ab/one": b"1", "blocks/ac/two": b"22", "packs/ab/three": b"333", "packs/zero": b""}
    for key, content in contents.items():
        put(store, key, content)
    found = {item.key: item for item in store.list_objects()}
    assert {key: item.size for key, item in found.items()} == {key: len(c) for key, c in contents.items()}
    after = int(time.time() * 1000) + 2000
    assert all(before <= item.modified_ms <= after for item in found.values())


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        pytest.param("", {"blocks/ab/1", "blocks/abc/2", "packs/ab/3"}, id="all"),
        pytest.param("blocks/", {"blocks/ab/1", "blocks/abc/2"}, id="a directory"),
        pytest.param("blocks/ab", {"blocks/ab/1", "blocks/abc/2"}, id="the beginning of names"),
        pytest.param("blocks/ab/1", {"blocks/ab/1"}, id="a whole key"),
        pytest.param("none", set(), id="nothing"),
    ],
)
def test_listing_is_limited_to_a_prefix(store: ObjectStore, prefix: str, expected: set[str]):
    for key in ("blocks/ab/1", "blocks/abc/2", "packs/ab/3"):
        put(store, key, b"x")
    assert {item.key for item in store.list_objects(prefix)} == expected


def test_listing_goes_on_past_a_page(store: ObjectStore):
    keys = {f"packs/{n % 7}/{n:04}" for n in range(1100)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: put(store, key, b"x"), keys))
    assert {item.key for item in store.list_objects("packs/")} == keys


def test_an_empty_store_lists_nothing(store: ObjectStore):
    assert list(store.list_objects()) == []


def test_checking_again_keeps_what_is_there(make_store: Callable[[], ObjectStore]):
    store = make_store()
    store.check()
    put(store, "packs/00/kept", b"kept")
    again = make_store()
    again.check()
    assert again.get("packs/00/kept", 0, 4) == b"kept"


def test_checking_at_the_same_time_succeeds_everywhere(make_store: Callable[[], ObjectStore]):
    stores = [make_store() for _ in range(4)]
    start = threading.Barrier(len(stores))

    def check(store: ObjectStore) -> None:
        start.wait()
        store.check()

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(check, stores))


def test_many_threads_use_one_store(store: ObjectStore):
    def round_trip(number: int) -> bool:
        data = bytes([number]) * (200_000 + number)
        put(store, f"blocks/{number:02}/x", data[:100_000], data[100_000:])
        return store.get(f"blocks/{number:02}/x", 0, len(data)) == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, range(64)))
