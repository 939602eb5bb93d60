"""The servers that scenarios are played on, one of each kind for a process of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client.conformance.runner.servers import Place, open_place
from tests.minio_server import MinioServer


@pytest.fixture(scope="session")
def local_place() -> Iterator[Place]:
    with open_place("local") as place:
        yield place


@pytest.fixture(scope="session")
def minio_place(minio: MinioServer) -> Iterator[Place]:
    with open_place("minio", minio) as place:
        yield place
