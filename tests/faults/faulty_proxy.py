"""A TCP proxy that mistreats what passes through it, in ways that are drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

READ = 64 << 10
# Faults are at random positions of a connection, as often within its first hundred bytes as within its last megabytes.
LAST_POSITION = 64 << 20
SLICED = 16 << 10

KINDS = ("cut", "truncate", "delay", "slice", "stall", "stall and cut")
# After these nothing more passes.
FATAL = {"cut", "truncate", "stall and cut"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one direction of a connection.

    Attributes:
        kind: One of ``KINDS``, or ``silence``. A cut is a reset of both directions, a truncation an orderly end before
            all is there; in silence nothing passes any more and nobody is told.
        position: Bytes of that direction that pass before.
        seconds: How long a delay or stall lasts.
    """

    kind: str
    position: int
    seconds: float = 0.0


def draw_faults(source: random.Random) -> list[Fault]:
    """The faults of one direction of a connection, each later than the one before; the last ends the connection."""
    faults: list[Fault] = []
    position = 0
    while not faults or faults[-1].kind not in FATAL:
        position += int(math.exp(source.uniform(0, math.log(LAST_POSITION))))
        kind = source.choice(KINDS)
        seconds = source.uniform(0.2, 0.8) if kind.startswith("stall") else source.uniform(0.01, 0.08)
        faults.append(Fault(kind, position, seconds))
    return faults


class FaultyProxy:
    """Forwards connections from a loopback port to a Unix socket; ``running`` starts it.

    Attributes:
        injected: How many faults of each kind have happened.
        sent: Bytes that passed from clients to the server.
        received: The other way.
    """

    def __init__(self, upstream: Path, source: random.Random | None, first: Sequence[Fault] = ()) -> None:
        self._upstream, self._source, self._first = upstream, source, list(first)
        self.injected: Counter[str] = Counter()
        self.sent = self.received = 0
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, upstream: Path, source: random.Random | None = None, *, first: Sequence[Fault] = ()
    ) -> Iterator[FaultyProxy]:
        """Serve in a thread.

        Args:
            upstream: The server's socket.
            source: What the faults are drawn from; None: there are none, and the proxy only counts.
            first: Faults of what the first connection sends, in place of drawn ones.
        """
        proxy = cls(upstream, source, first)
        loop, stopping, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(proxy._serve(ready, stopping),), name="proxy")
        thread.start()
        assert ready.wait(30)
        try:
            yield proxy
        finally:
            loop.call_soon_threadsafe(stopping.set)
            thread.join()
            loop.close()

    @property
    def uri(self) -> str:
        """Where a client finds the server behind the proxy."""
        return f"holdfast://127.0.0.1:{self._port}"

    async def _serve(self, ready: threading.Event, stopping: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=READ)
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        await stopping.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        writers = [writer]
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream, limit=READ)
            writers.append(up_writer)
            there, back = (draw_faults(self._source) if self._source else [] for _ in range(2))
            there, self._first = self._first or there, []
            pumps = [
                asyncio.create_task(self._pump(reader, up_writer, there, up=True)),
                asyncio.create_task(self._pump(up_reader, writer, back, up=False)),
            ]
            try:
                # Whichever ends first ends both: HTTP/2 needs both directions.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # no server there, as between its death and its start
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's streams would report a cancelled task as an error
        finally:
            for each in writers:
                each.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Sequence[Fault], *, up: bool
    ) -> None:
        pending, position = list(faults), 0
        while data := await reader.read(READ):
            while pending and position + len(data) >= pending[0].position:
                fault = pending.pop(0)
                head, data = data[: fault.position - position], data[fault.position - position :]
                await self._forward(writer, head, up=up)
                position += len(head)
                if not await self._inject(fault, writer):
                    return
                if fault.kind == "slice":
                    position += await self._slice(writer, data[:SLICED], up=up)
                    data = data[SLICED:]
            await self._forward(writer, data, up=up)
            position += len(data)

    async def _inject(self, fault: Fault, writer: asyncio.StreamWriter) -> bool:
        """Let a fault happen; False when the connection is over."""
        self.injected[fault.kind] += 1
        if fault.seconds and fault.kind in {"delay", "stall", "stall and cut"}:
            await asyncio.sleep(fault.seconds)
        if fault.kind == "silence":
            await asyncio.Event().wait()
        if fault.kind in {"cut", "stall and cut"}:
            writer.transport.abort()
        return fault.kind not in FATAL

    async def _slice(self, writer: asyncio.StreamWriter, data: bytes, *, up: bool) -> int:
        """Forward in pieces that no sender would make."""
        assert self._source is not None
        start = 0
        while start < len(data):
            size = self._source.choice((1, 2, 9, 100, 1_400))
            await self._forward(writer, data[start : start + size], up=up)
            await asyncio.sleep(0)
            start += size
        return len(data)

    async def _forward(self, writer: asyncio.StreamWriter, data: bytes, *, up: bool) -> None:
        if up:
            self.sent += len(data)
        else:
            self.received += len(data)
        writer.write(data)
        await writer.drain()
