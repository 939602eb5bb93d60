"""Stores with their databases, in memory, in a directory, and in a real MinIO."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.storage.upkeep_store import UpkeepStore

from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.blocks.memory import MemoryObjectStore
from holdfast_server.storage.blocks.s3 import open_s3_store


@pytest.fixture(params=["memory", "local", pytest.param("minio", marks=pytest.mark.minio)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UpkeepStore]:
    """One suite over every object store."""
    if request.param == "minio":
        objects = open_s3_store(request.getfixturevalue("minio_store_url"))
    else:
        objects = MemoryObjectStore() if request.param == "memory" else LocalObjectStore(tmp_path / "store")
    store = UpkeepStore(tmp_path, objects)
    yield store
    store.close()
    if request.param == "minio":
        objects.close()
