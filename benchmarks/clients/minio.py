"""minio-py, straight to MinIO, with its own defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import minio

from benchmarks.clients.job import Job

# Small files at once; minio-py keeps ten connections.
THREADS = 8


def connect(host: str, credentials: Mapping[str, str]) -> minio.Minio:
    """A client for a server without TLS."""
    return minio.Minio(
        host,
        access_key=credentials["AWS_ACCESS_KEY_ID"],
        secret_key=credentials["AWS_SECRET_ACCESS_KEY"],
        secure=False,
    )


class Client:
    def __init__(self, job: Job) -> None:
        host, _, self._bucket = job.address.partition("/")
        self._minio = connect(host, os.environ)
        self._name = f"{os.getpid()}"

    def upload(self, path: Path) -> str:
        prefix = f"{self._name}/{path.name}"
        if not path.is_dir():
            self._minio.fput_object(bucket_name=self._bucket, object_name=prefix, file_path=str(path))
            return prefix
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda file: self._put_whole(file, f"{prefix}/{file.relative_to(path)}"), _files(path)))
        return f"{prefix}/"

    def download(self, remote: str, target: Path) -> None:
        if not remote.endswith("/"):
            local = str(target / remote.rpartition("/")[2])
            self._minio.fget_object(bucket_name=self._bucket, object_name=remote, file_path=local)
            return
        objects = self._minio.list_objects(bucket_name=self._bucket, prefix=remote, recursive=True)
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda found: self._get_whole(str(found.object_name), remote, target), objects))

    def _put_whole(self, file: Path, name: str) -> None:
        with file.open("rb") as data:
            self._minio.put_object(
                bucket_name=self._bucket, object_name=name, data=data, length=os.fstat(data.fileno()).st_size
            )

    def _get_whole(self, name: str, prefix: str, target: Path) -> None:
        local = str(target / name.removeprefix(prefix))
        self._minio.fget_object(bucket_name=self._bucket, object_name=name, file_path=local)


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]
