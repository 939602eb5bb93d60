"""The objects of a store, seen and changed behind the server's back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

import pytest
from minio import Minio
from tests.faults.backends import Backend
from tests.minio_server import MinioServer


class Objects(Protocol):
    """What a test does with them."""

    def keys(self) -> list[str]: ...
    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes) -> None: ...
    def remove(self, key: str) -> None: ...


class LocalObjects:
    """Files below a data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keys(self) -> list[str]:
        found = [path for kind in ("blocks", "packs") for path in self._directory.glob(f"{kind}/*/*")]
        return [path.relative_to(self._directory).as_posix() for path in found]

    def read(self, key: str) -> bytes:
        return (self._directory / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        (self._directory / key).write_bytes(data)

    def remove(self, key: str) -> None:
        (self._directory / key).unlink()


class MinioObjects:
    """Objects of a bucket."""

    def __init__(self, server: MinioServer, bucket: str) -> None:
        host = server.endpoint.partition("//")[2]
        self._client = Minio(endpoint=host, access_key=server.access_key, secret_key=server.secret_key, secure=False)
        self._bucket = bucket

    def keys(self) -> list[str]:
        found = self._client.list_objects(self._bucket, recursive=True)
        names = [item.object_name or "" for item in found]
        return [name for name in names if name.startswith(("blocks/", "packs/"))]

    def read(self, key: str) -> bytes:
        response = self._client.get_object(self._bucket, key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def write(self, key: str, data: bytes) -> None:
        self._client.put_object(self._bucket, key, io.BytesIO(data), len(data), part_size=16 << 20)

    def remove(self, key: str) -> None:
        self._client.remove_object(self._bucket, key)


@pytest.fixture
def objects(backend: Backend, request: pytest.FixtureRequest) -> Objects:
    if backend.name == "local":
        return LocalObjects(backend.data_dir / "store")
    return MinioObjects(request.getfixturevalue("minio"), request.getfixturevalue("minio_bucket"))
