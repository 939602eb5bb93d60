"""A real MinIO server for tests: found, started on a free port with credentials of its own, stopped by its own pid."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.ports import free_port

# The commit that `make minio` builds; part of the cache's path, so that another one is built beside it.
COMMIT = "7aac2a2c5b7c"
MISSING = (
    "no MinIO server: run `make minio` (needs Go, about five minutes, once), or name a binary by HOLDFAST_MINIO_BIN"
)
START_TIMEOUT = 60.0


def find_binary() -> Path | None:
    """The binary that HOLDFAST_MINIO_BIN names, else the one in the cache, else None."""
    named = os.environ.get("HOLDFAST_MINIO_BIN")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else cache / "holdfast" / "minio" / COMMIT / "minio"
    return path if os.access(path, os.X_OK) and path.is_file() else None


@dataclass(slots=True)
class MinioServer:
    """A running server. ``stop`` it."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    directory: tempfile.TemporaryDirectory[str] = field(repr=False)
    log: IO[bytes] = field(repr=False)
    process: subprocess.Popen[bytes] = field(init=False, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that give a process this server's credentials."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def store_url(self, bucket: str, prefix: str = "") -> str:
        """The ``store`` setting for a bucket of this server."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def kill(self) -> None:
        """End the process at once; what it stored stays."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again on what it stored, at the same address, and wait until it answers."""
        self.process = _spawn(Path(str(self.process.args[0])), self)  # type: ignore[index]  # the list of _spawn
        if not _answers(self):
            raise RuntimeError("MinIO did not start again")

    def stop(self) -> None:
        """End the process and remove what it stored. It is killed: nobody needs what an orderly end would save."""
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.directory.cleanup()


def start_minio(binary: Path) -> MinioServer:
    """Start a server on a free loopback port and wait until it answers.

    Raises:
        RuntimeError: It ended or did not answer; the end of its log is included.
    """
    for attempt in range(3):
        server = _launch(binary)
        if _answers(server):
            return server
        server.log.seek(0)
        text = server.log.read().decode(errors="replace")[-2000:]
        server.stop()
        # Between finding a free port and binding it, somebody else may have taken it.
        if "in use" not in text or attempt == 2:
            raise RuntimeError(f"MinIO did not start:\n{text}")
    raise AssertionError


def _launch(binary: Path) -> MinioServer:
    directory = tempfile.TemporaryDirectory(prefix="holdfast-minio-")
    log = (Path(directory.name) / "log").open("w+b")
    endpoint = f"http://127.0.0.1:{free_port()}"
    server = MinioServer(endpoint, secrets.token_hex(8), secrets.token_hex(16), directory, log)
    server.process = _spawn(binary, server)
    return server


def _spawn(binary: Path, server: MinioServer) -> subprocess.Popen[bytes]:
    directory = server.directory.name
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return subprocess.Popen(
        [
            binary,
            "server",
            "--quiet",
            "--address",
            server.endpoint.partition("//")[2],
            "--console-address",
            "127.0.0.1:0",
            f"{directory}/data",
        ],
        env={
            **kept,
            # It keeps certificates and state below its home: nothing of the developer's own is read or written.
            "HOME": directory,
            "MINIO_ROOT_USER": server.access_key,
            "MINIO_ROOT_PASSWORD": server.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
            "MINIO_CI_CD": "1",  # small disks, such as a container's root, are refused otherwise
        },
        stdin=subprocess.DEVNULL,
        stdout=server.log,
        stderr=subprocess.STDOUT,
    )


def _answers(server: MinioServer) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.endpoint}/minio/health/ready", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False
