"""The servers of this suite: local blocks or a bucket of MinIO, and a socket that stays the same for each start."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.minio_server import MinioServer
from tests.server_process import ServerProcess, running_server

SERVER = (sys.executable, "-m", "holdfast_server")
FAILPOINT_SERVER = (sys.executable, str(Path(__file__).with_name("failpoint_server.py")))


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the blocks of one data directory are.

    Attributes:
        name: ``local`` or ``minio``.
        socket: Path of the Unix socket; short, as the system wants it, and the same for each start.
    """

    name: str
    data_dir: Path
    socket: Path
    store: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def uri(self) -> str:
        """Where a client finds the server."""
        return f"unix:{self.socket}"

    @property
    def arguments(self) -> list[str]:
        """The server's settings. It tries its store out at its start only: faults are for what clients do."""
        store = ["--store", self.store] if self.store else []
        return ["--unix", str(self.socket), "--data-dir", str(self.data_dir), "--probe-interval", "86400", *store]

    @contextlib.contextmanager
    def server(
        self,
        *further: str,
        command: Sequence[str | Path] = SERVER,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[ServerProcess]:
        """Start a server on what is there; killed at the end unless it is gone already."""
        variables = {**self.environment, **(environment or {})}
        with running_server(*self.arguments, *further, command=command, environment=variables) as server:
            yield server


@contextlib.contextmanager
def socket_directory() -> Iterator[Path]:
    """A private directory with a short name: a socket's path has at most some hundred bytes."""
    directory = Path(tempfile.mkdtemp(prefix="hf-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory for what clients log and read back, in memory where there is such a place.

    Making and removing thousands of files again and again becomes slow on a disk, and theirs is not the disk in doubt.
    """
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="holdfast-faults-", dir=memory if os.access(memory, os.W_OK) else None))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def local_backend(tmp_path: Path) -> Iterator[Backend]:
    with socket_directory() as directory:
        yield Backend("local", tmp_path / "data", directory / "s")


@pytest.fixture
def minio_backend(tmp_path: Path, minio: MinioServer, minio_bucket: str) -> Iterator[Backend]:
    with socket_directory() as directory:
        url = minio.store_url(minio_bucket)
        yield Backend("minio", tmp_path / "data", directory / "s", url, minio.environment)


@pytest.fixture(params=["local", pytest.param("minio", marks=pytest.mark.minio)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """A data directory and a store of the test's own, on each backend."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found
