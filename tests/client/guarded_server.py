"""A server that asks who calls."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.client.conftest import ServerThread

from holdfast._client import Client
from holdfast._config import parse_target


class GuardedServer:
    """A server that asks who calls, by a port and by its owner's socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self.thread = ServerThread(folder / "data", "127.0.0.1:0", f"unix:{self.socket}", auth="tokens")
        self.uri = self.thread.uri

    def client(self, secret: str = "") -> Client:
        """A client that sends this token."""
        return Client(parse_target(self.uri, {"HOLDFAST_TOKEN": secret} if secret else {}))

    def owner(self) -> Client:
        """A client that may do everything."""
        return Client(f"unix:{self.socket}")


@contextlib.contextmanager
def guarded_server() -> Iterator[GuardedServer]:
    """One in a folder of its own, whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    server = GuardedServer(folder)
    try:
        yield server
    finally:
        server.thread.stop()
        shutil.rmtree(folder)
