"""Servers with a store to be sent or to be sent to, and what a sync sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.client.conftest import ServerThread

from holdfast._client import Client

MIB = 1 << 20


@contextmanager
def serving(data_dir: Path) -> Iterator[Client]:
    """A client of a server of its own."""
    server = ServerThread(data_dir)
    try:
        with Client(server.uri) as client:
            yield client
    finally:
        server.stop()


def sent(synced) -> dict[str, int]:
    """What a sync sent, without zeros."""
    names = ("experiments", "runs", "models", "partial", "versions", "points", "files", "bytes", "changes")
    return {name: count for name in names if (count := getattr(synced, name))}
