"""A database and the store of its blocks belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_server.app import App
from holdfast_server.config import ServerConfig
from holdfast_server.errors import FailedPrecondition
from holdfast_server.storage.blocks.identity import check_identity
from holdfast_server.storage.blocks.memory import MemoryObjectStore


def test_a_new_store_is_marked_and_known_again() -> None:
    store = MemoryObjectStore()
    check_identity(store, "a" * 32, "here", known_as="")
    check_identity(store, "a" * 32, "here", known_as="here")


def test_another_databases_store_is_refused() -> None:
    store = MemoryObjectStore()
    check_identity(store, "a" * 32, "here", known_as="")
    with pytest.raises(FailedPrecondition, match="belongs to another database"):
        check_identity(store, "b" * 32, "here", known_as="")


def test_an_empty_store_in_place_of_the_known_one_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match=r"keeps its blocks in s3://models\?.*HOLDFAST_URI"):
        check_identity(MemoryObjectStore(), "a" * 32, "its data directory", known_as="s3://models?endpoint=x")


def test_a_database_without_its_blocks_says_what_is_missing() -> None:
    with pytest.raises(FailedPrecondition, match=r"in its data directory, where the store's marker .* missing"):
        check_identity(MemoryObjectStore(), "a" * 32, "its data directory", known_as="its data directory")


@pytest.mark.minio
async def test_a_data_directory_is_served_with_one_store_only(tmp_path: Path, minio_store_url: str) -> None:
    with_s3 = ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",), store=minio_store_url)
    for _ in range(2):
        app = App(with_s3)
        await app.start()
        await app.stop()
    with pytest.raises(FailedPrecondition, match=r"keeps its blocks in s3://"):
        App(ServerConfig(data_dir=tmp_path / "data", addresses=("127.0.0.1:0",)))
    with pytest.raises(FailedPrecondition, match="belongs to another database"):
        App(ServerConfig(data_dir=tmp_path / "other", addresses=("127.0.0.1:0",), store=minio_store_url))
