"""Bytes for any method, sent over a socket to a server in this process, where atheris sees what of its code they reach.

The first byte names the method; of a stream's messages each is behind its length in two bytes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from tests.fuzz.calling import check_answered
from tests.fuzz.messages import methods
from tests.rpc.bad_input.test_tables import cases
from tests.rpc.bad_input.world import World

from holdfast_server.app import App
from holdfast_server.config import ServerConfig
from holdfast_server.storage.blocks.local import LocalObjectStore

METHODS = tuple(methods())
MAX_SEED = 1_000
_LENGTH = 2


class Wire:
    """The target, and the server that it feeds; the server is started with the first input.

    Args:
        data_dir: Of the server; nothing is there.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._loop = asyncio.new_event_loop()
        self._app = App(ServerConfig(data_dir=data_dir, addresses=("127.0.0.1:0",)))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._world: World | None = None
        self._complaints = _Complaints()

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        world = self._world or self._start()
        method = METHODS[data[0] % len(METHODS)]
        messages = list(_messages(data[1:])) if method.client_streaming else [data[1:]]
        check_answered(world, method, messages)
        assert not self._complaints.records, self._complaints.records[0].getMessage()

    def close(self) -> None:
        """End the server."""
        logging.getLogger().removeHandler(self._complaints)
        if self._world is not None:
            self._world.channel.close()
            asyncio.run_coroutine_threadsafe(self._app.stop(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _start(self) -> World:
        self._thread.start()
        logging.getLogger().addHandler(self._complaints)
        asyncio.run_coroutine_threadsafe(self._app.start(), self._loop).result()
        channel = grpc.insecure_channel(f"127.0.0.1:{self._app.ports[0]}")
        self._world = World(None, self._data_dir, channel, LocalObjectStore(self._data_dir / "store"))
        self._world.build()
        return self._world


class _Complaints(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def seeds() -> list[bytes]:
    """The rows of the tables of bad input that are short and need nothing that a server made."""
    numbers = {f"{method.containing_service.name}/{method.name}": at for at, method in enumerate(METHODS)}
    found = []
    for case in cases():
        number = numbers.get(case.method)
        if number is None or callable(case.request) or len(repr(case.request)) > MAX_SEED:
            continue
        messages = case.messages(None)  # type: ignore[arg-type]  # asked for by functions only
        if METHODS[number].client_streaming:
            messages = [len(one).to_bytes(_LENGTH, "little") + one for one in messages]
        found.append(bytes((number,)) + b"".join(messages))
    return found


def _messages(data: bytes) -> Iterator[bytes]:
    while data:
        length = int.from_bytes(data[:_LENGTH], "little")
        yield data[_LENGTH : _LENGTH + length]
        data = data[_LENGTH + length :]
