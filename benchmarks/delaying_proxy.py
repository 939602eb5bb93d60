"""A TCP proxy that lets every byte arrive later: a long line, of a stated rate each way or of unlimited bandwidth.

``python -m benchmarks.delaying_proxy <host:port> <seconds each way> [<bytes per second each way>]``. All connections
share the line. TCP's own acknowledgements are not delayed, as there is a connection on either side; the windows of
HTTP/2 are.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from dataclasses import dataclass

# Bytes on their way in one direction, past which nothing is taken in: 10 Gbit/s for 50 ms is 62 MB.
MAX_IN_FLIGHT = 256 << 20
# What the receiver's socket may have waiting before bytes stay on their way.
MAX_WAITING = 4 << 20
# Seconds that bytes may wait for their turn on a line of a stated rate before nothing more is taken in, as by a router
# whose buffer is full.
MAX_QUEUE = 0.02


class Line:
    """One way of the line: tells when bytes arrive at its far end."""

    def __init__(self, delay: float, rate: float) -> None:
        self._delay, self._rate = delay, rate
        self._free_at = 0.0

    def arrival(self, size: int, now: float) -> float:
        """When the last of ``size`` bytes arrives that are given to the line now."""
        if self._rate:
            self._free_at = max(self._free_at, now) + size / self._rate
            return self._free_at + self._delay
        return now + self._delay

    def queue(self, now: float) -> float:
        """Seconds that bytes given to it now wait for their turn."""
        return max(0.0, self._free_at - now)


@dataclass(slots=True)
class Totals:
    """What was forwarded since the start, in bytes, and the connections that are open."""

    up: int = 0
    down: int = 0
    connections: int = 0


class Direction(asyncio.Protocol):
    """Takes from one socket and gives to the other, later."""

    def __init__(self, line: Line) -> None:
        self._loop = asyncio.get_running_loop()
        self._line = line
        self._in_flight = deque[tuple[float, bytes]]()
        self._size, self.forwarded = 0, 0
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self.transport: asyncio.Transport | None = None
        self.peer: Direction | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(MAX_WAITING)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self._in_flight.append((self._line.arrival(len(data), now), data))
        self._size += len(data)
        if self.transport is not None:
            queue = self._line.queue(now)
            if self._size > MAX_IN_FLIGHT:
                self.transport.pause_reading()
            elif queue > MAX_QUEUE:
                self.transport.pause_reading()
                self._loop.call_later(queue - MAX_QUEUE, self._resume)
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        # An empty piece is the end.
        self._in_flight.append((self._line.arrival(0, self._loop.time()), b""))
        self._schedule()

    def _resume(self) -> None:
        if self._size <= MAX_IN_FLIGHT and self.transport is not None:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        assert self.peer is not None
        self.peer._writable = False  # noqa: SLF001 - the same connection's other direction

    def resume_writing(self) -> None:
        assert self.peer is not None
        self.peer._writable = True  # noqa: SLF001 - the same connection's other direction
        self.peer._schedule()  # noqa: SLF001

    def _schedule(self) -> None:
        if self._timer is None and self._in_flight and self._writable and self.peer and self.peer.transport:
            self._timer = self._loop.call_at(self._in_flight[0][0], self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        target = self.peer.transport if self.peer else None
        if target is None:
            return
        now = self._loop.time()
        while self._writable and self._in_flight and self._in_flight[0][0] <= now:
            _, data = self._in_flight.popleft()
            if not data:
                target.close()
                return
            self._size -= len(data)
            self.forwarded += len(data)
            target.write(data)
        if self._line.queue(now) <= MAX_QUEUE:
            self._resume()
        self._schedule()


class Inward(Direction):
    """The client's side, which opens the way to the server."""

    def __init__(self, upstream: tuple[str, int], up: Line, down: Line, totals: Totals) -> None:
        super().__init__(up)
        self._upstream, self._totals = upstream, totals
        self._outward = Direction(down)
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._totals.connections += 1
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        self.peer, self._outward.peer = self._outward, self
        try:
            await self._loop.create_connection(lambda: self._outward, *self._upstream)
        except OSError:
            if self.transport is not None:
                self.transport.abort()
            return
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._totals.connections -= 1
        self._totals.up += self.forwarded
        self._totals.down += self._outward.forwarded
        if not self._totals.connections:
            print(f"forwarded up={self._totals.up} down={self._totals.down}", flush=True)


async def serve(upstream: tuple[str, int], delay: float, rate: float) -> None:
    """Forward until SIGTERM; the first line of output is the address, further ones what was forwarded."""
    loop, totals, stopped = asyncio.get_running_loop(), Totals(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    up, down = Line(delay, rate), Line(delay, rate)
    server = await loop.create_server(lambda: Inward(upstream, up, down, totals), "127.0.0.1", 0)
    print(f"serving on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    asyncio.run(serve((host, int(port)), float(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0))
