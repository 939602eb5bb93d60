"""The servers that are measured, each a process of its own that leads a session, ended by its own ids."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.minio_server import MinioServer

from benchmarks import processes
from benchmarks.clients.minio import connect

# Seconds; MLflow takes half a minute of two cores to start, and more where others use them.
START_TIMEOUT = 900.0
STOP_TIMEOUT = 15.0
# CPU seconds within one second, of several processes that do nothing.
IDLE = 0.15
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers at ``address``.

    Attributes:
        address: ``host:port``.
        directory: Where it keeps what it stores, unless in MinIO.
        pid: Its first process.
        alone: Whether it has no further processes.
        credentials: What a client has to have in its environment.
    """

    address: str
    directory: Path
    pid: int
    alone: bool = False
    credentials: Mapping[str, str] = field(default_factory=dict)

    def pids(self) -> list[int]:
        """All its processes."""
        return [self.pid] if self.alone else processes.session(self.pid)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """For every process of the benchmark: no settings of the developer, no proxies, nothing that calls home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "HOLDFAST_JOURNAL_DIR"  # of this run of the benchmark
        or (not name.startswith(("HOLDFAST_", "MLFLOW_", "AWS_")) and not name.lower().endswith("_proxy"))
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        **(extra or {}),
    }


@contextmanager
def holdfast_server(directory: Path, minio: MinioServer | None = None) -> Iterator[Server]:
    """Holdfast on a fresh data directory, its blocks there or in a fresh bucket."""
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(directory / "data")]
    if minio is not None:
        arguments += ["--store", minio.store_url(f"holdfast-{directory.name}")]
    command = [sys.executable, "-m", "holdfast_server", *arguments]
    with running(command, directory, minio.environment if minio else {}) as process:
        yield Server(_announced(process, directory), directory, process.pid)


@contextmanager
def bare_server(directory: Path, minio: MinioServer | None = None) -> Iterator[Server]:
    """The bare stream."""
    assert minio is None, "the bare stream writes files"
    (directory / "data").mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.bare", str(directory / "data")]
    with running(command, directory) as process:
        yield Server(_announced(process, directory), directory, process.pid)


@contextmanager
def mlflow_server(directory: Path, minio: MinioServer | None = None) -> Iterator[Server]:
    """``mlflow server`` as its documentation starts it: proxied artifacts, SQLite, its own number of workers."""
    address = f"127.0.0.1:{free_port()}"
    destination, settings = str(directory / "artifacts"), dict[str, str]()
    if minio is not None:
        destination = f"s3://{_made_bucket(minio, f'mlflow-{directory.name}')}"
        settings = {**minio.environment, "MLFLOW_S3_ENDPOINT_URL": minio.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", address.rpartition(":")[2],
        "--backend-store-uri", f"sqlite:///{directory / 'mlflow.db'}",
        "--serve-artifacts", "--artifacts-destination", destination,
        # On a busy machine its supervisor would take workers for dead that still import, for ever.
        "--uvicorn-opts", "--timeout-worker-healthcheck 120",
    ]  # fmt: skip
    with running(command, directory, settings) as process:
        wait_for(f"http://{address}/health", process, directory)
        server = Server(address, directory, process.pid)
        _wait_until_idle(server)
        yield server


@contextmanager
def delaying_proxy(directory: Path, upstream: str, *, delay: float, rate: float = 0) -> Iterator[Server]:
    """A line to ``upstream``, of ``delay`` seconds and ``rate`` bytes a second each way; 0: any rate."""
    command = [sys.executable, "-m", "benchmarks.delaying_proxy", upstream, str(delay), str(rate)]
    with running(command, directory) as process:
        yield Server(_announced(process, directory), directory, process.pid)


def forwarded(proxy: Server) -> int:
    """Bytes that clients sent through a proxy until the last of them hung up."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while time.monotonic() < deadline:
        found = re.findall(r"forwarded up=(\d+)", (proxy.directory / "log").read_text())
        if found:
            return int(found[-1])
        time.sleep(0.02)
    raise RuntimeError("the proxy saw no client go")


@contextmanager
def minio_alone(directory: Path, minio: MinioServer | None = None) -> Iterator[Server]:
    """MinIO itself, with a fresh bucket that has the name of ``directory``."""
    assert minio is not None
    directory.mkdir(parents=True)
    bucket = _made_bucket(minio, f"direct-{directory.name}")
    address = f"{minio.endpoint.removeprefix('http://')}/{bucket}"
    yield Server(address, directory, minio.process.pid, alone=True, credentials=minio.environment)


@contextmanager
def no_server(directory: Path, minio: MinioServer | None = None) -> Iterator[Server]:
    """For what a client does by itself."""
    yield Server("", directory, 0)


def _made_bucket(minio: MinioServer, name: str) -> str:
    name = name.replace("_", "-")  # as S3 wants it
    connect(minio.endpoint.removeprefix("http://"), minio.environment).make_bucket(bucket_name=name)
    return name


@contextmanager
def running(
    command: Sequence[str], directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session, its output in ``directory / "log"``; all of the session is ended."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
        # Its workers may outlive it; the session is named by its process id as long as one of them lives.
        for pid in processes.session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _announced(process: subprocess.Popen[bytes], directory: Path) -> str:
    """The address that a server names in its log."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"serving on (?:holdfast://)?([\w.]+:\d+)", (directory / "log").read_text())
        if found:
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not start:\n{(directory / 'log').read_text()[-2000:]}")


def wait_for(url: str, process: subprocess.Popen[bytes], directory: Path) -> None:
    """Wait until a server answers at ``url``."""
    deadline = time.monotonic() + START_TIMEOUT
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"{process.args!r} did not start:\n{(directory / 'log').read_text()[-2000:]}")


def _wait_until_idle(server: Server) -> None:
    """It answers long before its last process has imported everything, which would count as the cost of an upload."""
    deadline = time.monotonic() + START_TIMEOUT
    quiet, used = 0, processes.usage(server.pids()).cpu
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(1)
        before, used = used, processes.usage(server.pids()).cpu
        quiet = quiet + 1 if used - before < IDLE else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
