"""Copies objects from store to store, several at once, each checked against the digests of its blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from holdfast_server.backup.databases import StoredBlock, blocks_of
from holdfast_server.backup.errors import BackupError
from holdfast_server.errors import Unavailable
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.sql.connection import Connection

# Objects under way at once; each is in memory, and has at most some 16 MiB.
AT_ONCE = 4


@dataclass(slots=True)
class Copied:
    """What was done.

    Attributes:
        count: Objects that were copied, or read.
        size: Their bytes.
        damaged: Keys of those that are missing or have other bytes than their digests say, with what is wrong.
    """

    count: int = 0
    size: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


Progress = Callable[[Copied], None]


def copy_objects(
    keys: Mapping[str, int],
    *,
    sources: Iterable[ObjectStore],
    target: ObjectStore,
    database: Connection,
    target_name: str,
    progress: Progress,
) -> Copied:
    """Copy those that the target lacks; each is durable there and has the right bytes, or is in ``damaged``.

    Args:
        keys: Sizes by key.
        sources: Where to look for them, one after another; the first whole one is taken.
        target: Where to.
        database: Tells the blocks in them.
        target_name: What the target is, for messages.
        progress: Called now and then.

    Raises:
        BackupError: The target cannot be written; what was copied stays there.
        Unavailable: A source cannot be reached.
    """
    there = {item.key: item.size for item in target.list_objects()}
    missing = [key for key, size in keys.items() if there.get(key) != size]
    places = list(sources)

    def copy(key: str, blocks: list[StoredBlock]) -> tuple[str, int]:
        problem, data = _read(places, key, keys[key], blocks)
        if data is not None:
            try:
                target.put(key, [data])
            except Unavailable as error:
                raise BackupError(f"{target_name} cannot be written: {error.message}") from error
        return problem, 0 if data is None else len(data)

    return _each(missing, database, copy, progress)


def verify_objects(keys: Mapping[str, int], *, store: ObjectStore, database: Connection, progress: Progress) -> Copied:
    """Read every object and compare every block in it with its digest.

    Raises:
        Unavailable: The store cannot be reached.
    """

    def verify(key: str, blocks: list[StoredBlock]) -> tuple[str, int]:
        problem, data = _read([store], key, keys[key], blocks)
        return problem, 0 if data is None else len(data)

    return _each(list(keys), database, verify, progress)


def _each(
    keys: list[str], database: Connection, work: Callable[[str, list[StoredBlock]], tuple[str, int]], progress: Progress
) -> Copied:
    done = Copied()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="copy") as pool:
        running: dict[Future[tuple[str, int]], str] = {}

        def take(futures: Iterable[Future[tuple[str, int]]]) -> None:
            for future in futures:
                key = running.pop(future)
                problem, size = future.result()
                if problem:
                    done.damaged[key] = problem
                else:
                    done.count += 1
                    done.size += size
            progress(done)

        try:
            for key in keys:
                if len(running) >= AT_ONCE * 2:
                    take(wait(running, return_when=FIRST_COMPLETED).done)
                running[pool.submit(work, key, blocks_of(database, key))] = key
            take(wait(running).done)
        finally:
            for future in running:
                future.cancel()
    return done


def _read(places: list[ObjectStore], key: str, size: int, blocks: list[StoredBlock]) -> tuple[str, bytes | None]:
    """What is wrong with an object, or empty; and its bytes. None for one that was known to be lost."""
    problem = ""
    for place in places:
        try:
            data = place.get(key, 0, size)
        except KeyError:
            problem = problem or "it is missing"
            continue
        if len(data) != size:
            problem = f"it has {len(data)} of {size} bytes"
            continue
        view = memoryview(data)
        wrong = [
            block
            for block in blocks
            if not block.is_lost
            and hashlib.sha256(view[block.offset : block.offset + block.size]).digest() != block.digest
        ]
        if not wrong:
            return "", data
        problem = f"block {wrong[0].digest.hex()} in it has other bytes"
    if all(block.is_lost for block in blocks):
        return "", None
    return problem, None
