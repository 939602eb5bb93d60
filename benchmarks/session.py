"""One run of the benchmark: its directory, its random order, and the servers that are kept."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.minio_server import MinioServer, find_binary, start_minio

from benchmarks import launch, processes, servers
from benchmarks.clients.job import Job, Result
from benchmarks.clients.minio import connect
from benchmarks.rows import MIB, Store
from benchmarks.servers import Server

SERVERS = {
    "holdfast": servers.holdfast_server,
    "bare": servers.bare_server,
    "mlflow": servers.mlflow_server,
    "mlflow_defaults": servers.mlflow_server,
    "minio": servers.minio_alone,
    "sha256": servers.no_server,
}
# It takes many seconds to start, and keeps no content apart that it would have to be rid of.
# Both of its clients use the same one.
KEPT = {"mlflow": "mlflow", "mlflow_defaults": "mlflow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one measurement found: seconds, bytes, files per operation, CPU seconds, and so on by name."""

    row: str
    store: str
    peer: str
    repetition: int
    figures: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class Session:
    """Where and how everything is measured."""

    directory: Path
    seed: int
    scale: float
    repeat: int
    peers: frozenset[str]
    link_mbit: float
    languages: frozenset[str] = frozenset()
    _stack: ExitStack = field(default_factory=ExitStack)
    _kept: dict[tuple[str, Store], Server] = field(default_factory=dict)
    _minio: MinioServer | None = None
    _names: Iterator[int] = field(default_factory=itertools.count)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def close(self) -> None:
        """End the servers that were kept."""
        self._stack.close()

    def fresh(self, what: str) -> Path:
        """A path that was never used before."""
        return self.directory / f"{what}-{next(self._names):04}"

    def minio(self) -> MinioServer:
        """The MinIO of this run, started when it is first needed."""
        if self._minio is None:
            binary = find_binary()
            assert binary is not None, "`make minio` builds the server"
            self._minio = start_minio(binary)
            self._stack.callback(self._minio.stop)
        return self._minio

    @contextmanager
    def serving(self, peer: str, store: Store) -> Iterator[Server]:
        """A server of ``peer`` that has nothing of what will be sent."""
        minio = self.minio() if store == "minio" else None
        if peer not in KEPT:
            with SERVERS[peer](self.fresh(peer), minio) as server:
                yield server
            return
        kept = KEPT[peer], store
        if kept not in self._kept:
            self._kept[kept] = self._stack.enter_context(SERVERS[peer](self.fresh(peer), minio))
        yield self._kept[kept]

    def measure(self, jobs: Sequence[Job], server: Server) -> tuple[list[Result], dict[str, float]]:
        """Do jobs at the same time; returns their results and what they, the server and MinIO used."""
        pids = server.pids() if server.pid else []
        stores = [self._minio.process.pid] if self._minio is not None else []
        with launch.prepared(jobs, server.credentials) as clients:
            os.sync()
            processes.reset_peaks(pids)
            before, store_before = processes.usage(pids), processes.usage(stores)
            for client in clients:
                client.begin()
            results = [client.result() for client in clients]
            after, store_after = processes.usage(pids), processes.usage(stores)
        return results, {
            "seconds": max(result.end for result in results) - min(result.start for result in results),
            "client_cpu": sum(result.cpu for result in results),
            "server_cpu": after.cpu - before.cpu,
            "store_cpu": store_after.cpu - store_before.cpu,
            "client_peak": max(result.memory_peak for result in results),
            "client_above": max(result.memory_peak - result.memory_before for result in results),
            "server_peak": after.peak,
        }

    def tidy(self, server: Server, store: Store) -> None:
        """Remove what a server was sent, if it is large."""
        if store == "minio":
            self.empty_buckets()
        self.discard(server.directory)

    def discard(self, path: Path) -> None:
        """Remove large files at once, which fill the disk; small ones stay: removing many slows ext4 down later."""
        if path.is_dir():
            for file in path.rglob("*"):
                if file.is_file() and file.stat().st_size > MIB and file.suffix != ".db":
                    file.unlink()
        else:
            path.unlink(missing_ok=True)

    def empty_buckets(self) -> None:
        """Remove the large objects of MinIO."""
        minio = self.minio()
        client = connect(minio.endpoint.removeprefix("http://"), minio.environment)
        for bucket in client.list_buckets():
            for found in client.list_objects(bucket_name=bucket.name, recursive=True):
                if (found.size or 0) > MIB and found.object_name:
                    client.remove_object(bucket_name=bucket.name, object_name=found.object_name)
