"""Opens the block store of a configuration, and the threads that work on it. A part of the composition root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys

from holdfast_server.config import ServerConfig
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.blocks.identity import check_identity
from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.sql.sqlite import SqliteDatabase
from holdfast_server.threads import CallThreads

S3_THREADS = 8
# By how much the threads that hash, store and read blocks are nicer than the rest of the server; with it they get a
# tenth of what others get who want the same core.
BLOCKS_NICE = 10


def open_object_store(config: ServerConfig, database: SqliteDatabase) -> ObjectStore:
    """The store that the configuration names, when it works and is the database's.

    Raises:
        Unavailable: It does not answer.
        FailedPrecondition: It belongs to another database, or is set up wrongly.
    """
    objects = _object_store(config)
    objects.check()
    _check_identity(config, database, objects)
    return objects


def open_block_threads(config: ServerConfig) -> CallThreads:
    """Threads that move blocks: with S3 they mostly wait for the network, so there are more of them."""
    count = max(config.block_threads, S3_THREADS) if config.store else config.block_threads
    return CallThreads(count, name="blocks", initializer=_give_way)


def _object_store(config: ServerConfig) -> ObjectStore:
    if not config.store:
        return LocalObjectStore(config.data_dir / "store")
    from holdfast_server.storage.blocks.s3 import open_s3_store

    return open_s3_store(config.store, config.s3_credentials_file)


def _check_identity(config: ServerConfig, database: SqliteDatabase, objects: ObjectStore) -> None:
    """Refuse a store that is not this database's; processes that start together take turns."""
    described = config.store or "its data directory"
    with (config.data_dir / "store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        store_id, known_as = database.block_store()
        check_identity(objects, store_id, described, known_as=known_as)
        if not known_as:
            database.set_block_store(described)


def _give_way() -> None:
    """Let this thread wait for those that answer small calls, where cores are scarce; on Linux a thread can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.nice(BLOCKS_NICE)
