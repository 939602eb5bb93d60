"""The servers that clients are tried on: one anybody may use, one with TLS and tokens, on local blocks or MinIO."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from client.conformance.runner.counting import Blocks, read_blocks
from client.conformance.runner.errors import ToolchainMissingError
from tests.minio_server import MinioServer, find_binary, start_minio
from tests.server_process import clean_environment, running_server

STORES = ("local", "minio")
HOST = "127.0.0.1"


class Server:
    """A server on a data directory, which may die and come back at the same port.

    Attributes:
        port: Where it listens on loopback.
        data_dir: What it keeps.
    """

    def __init__(self, data_dir: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self._arguments, self._environment = arguments, environment
        self._running: contextlib.ExitStack | None = None
        self._before = Blocks()  # what was counted by processes that are gone
        self._metrics_url = ""
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, unless it runs; the port stays what it was."""
        if self._running is not None:
            return
        with contextlib.ExitStack() as starting:
            arguments = [f"--port={self.port}", f"--data-dir={self.data_dir}", f"--metrics-address={HOST}:0"]
            server = starting.enter_context(running_server(*arguments, *self._arguments, environment=self._environment))
            found = re.search(r"(http://\S+/metrics)", server.line("Metrics on "))
            assert found is not None
            self._metrics_url = found[1]
            self.port = int(server.address.rpartition(":")[2])
            self._running = starting.pop_all()

    def kill(self) -> None:
        """End it at once."""
        if self._running is not None:
            self._before = self.blocks()
            running, self._running = self._running, None
            running.close()

    def blocks(self) -> Blocks:
        """What came so far, also before it was killed."""
        return self._before if self._running is None else self._before + read_blocks(self._metrics_url)


class Place:
    """One kind of store, with the servers on it; each is started when it is first asked for.

    Attributes:
        store: ``local`` or ``minio``.
    """

    def __init__(self, store: str, folder: Path, minio: MinioServer | None = None) -> None:
        self.store = store
        self._folder, self._minio = folder, minio
        self._servers: dict[str, Server] = {}
        self._token = ""

    @property
    def open_server(self) -> Server:
        """Anybody may use it, without encryption."""
        return self._server("open")

    @property
    def guarded_server(self) -> Server:
        """It speaks TLS and asks for tokens."""
        return self._server("guarded")

    @property
    def ca_file(self) -> Path:
        """The authority of the guarded server's certificate."""
        return self._folder / "tls" / "ca.crt"

    @property
    def token(self) -> str:
        """A token for the guarded server."""
        if not self._token:
            socket = self.guarded_server.data_dir / "holdfast.sock"
            made = _holdfast(f"--uri=unix:{socket}", "token", "create", "--principal=conformance", "--role=manage")
            self._token = made.split()[-1]
        return self._token

    def revive(self) -> None:
        """Start again what an earlier scenario left dead."""
        for server in self._servers.values():
            server.start()

    def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            server.kill()

    def _server(self, kind: str) -> Server:
        if kind not in self._servers:
            arguments, environment = self._blocks()
            if kind == "guarded":
                _holdfast("server", "tls-init", str(self._folder / "tls"))
                certificate = self._folder / "tls" / "server"
                arguments += ["--auth=tokens", f"--tls-cert={certificate}.crt", f"--tls-key={certificate}.key"]
            self._servers[kind] = Server(self._folder / kind, arguments, environment)
        return self._servers[kind]

    def _blocks(self) -> tuple[list[str], Mapping[str, str]]:
        if self._minio is None:
            return [], {}
        bucket = f"conformance-{secrets.token_hex(8)}"
        return [f"--store={self._minio.store_url(bucket)}"], self._minio.environment


@contextlib.contextmanager
def open_place(store: str, minio: MinioServer | None = None) -> Iterator[Place]:
    """Servers on a kind of store, gone at the end with what they kept; a MinIO of their own unless one is given.

    Raises:
        ToolchainMissingError: There is no MinIO here.
    """
    # A short path: that of a Unix socket has at most some hundred bytes.
    folder = Path(tempfile.mkdtemp(prefix="hf-c-"))
    with contextlib.ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        if store == "minio" and minio is None:
            binary = find_binary()
            if binary is None:
                raise ToolchainMissingError("there is no MinIO here: `make minio` builds it, or set HOLDFAST_MINIO_BIN")
            minio = start_minio(binary)
            opened.callback(minio.stop)
        place = Place(store, folder, minio if store == "minio" else None)
        opened.callback(place.close)
        yield place


def _holdfast(*arguments: str) -> str:
    """Run the command line, as whoever keeps a server does; returns what it printed."""
    command = [sys.executable, "-c", "from holdfast.cli import main; main()", *arguments]
    done = subprocess.run(
        command,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise RuntimeError(f"holdfast {' '.join(arguments[:2])} ended with {done.returncode}: {done.stderr}")
    return done.stdout
