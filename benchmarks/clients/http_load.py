"""Sends the same HTTP request over a number of connections, each as soon as the one before is answered.

``python -m benchmarks.clients.http_load URL BODY_FILE CONNECTIONS SECONDS`` prints figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Load"]


@dataclass
class Load:
    """What many connections ask, and how they were answered.

    Attributes:
        host: Of the server.
        port: Of the server.
        body: JSON to be posted to ``/invocations``.
        seconds: From each request to its answer.
        statuses: How many answers had which status.
        versions: Versions that answered, in the order of their first answers.
        broken: Requests whose connection ended without an answer.
    """

    host: str
    port: int
    body: bytes
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    def __post_init__(self) -> None:
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        self.request = head.encode() + self.body

    async def run(self, connections: int, goes_on: Callable[[], bool]) -> None:
        """Ask until ``goes_on`` says otherwise; every request that was sent is waited for."""
        await asyncio.gather(*(self._ask(goes_on) for _ in range(connections)))

    async def _ask(self, goes_on: Callable[[], bool]) -> None:
        connection: _Connection | None = None
        loop = asyncio.get_running_loop()
        while goes_on():
            if connection is None:
                _, connection = await loop.create_connection(_Connection, self.host, self.port)
            begin = time.perf_counter()
            try:
                head = await connection.ask(self.request)
            except ConnectionError:
                self.broken += 1
                connection = None
                continue
            self.seconds.append(time.perf_counter() - begin)
            self.statuses[int(head[9:12])] += 1
            self.versions[_header(head, b"holdfast-model-version")] += 1
            if _header(head, b"connection") == "close":
                connection.transport.close()
                connection = None
        if connection is not None:
            connection.transport.close()


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> bytes:
        """Send a request; returns the head of its answer.

        Raises:
            ConnectionError: There is none.
        """
        if self.transport.is_closing():
            raise ConnectionError
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(_header(head, b"content-length")) and self._answer is not None:
            if not self._answer.done():
                self._answer.set_result(head)
            self._answer = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))


def _header(head: bytes, name: bytes) -> str:
    place = head.lower().find(b"\r\n" + name + b":")
    if place < 0:
        return ""
    begin = place + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None].strip().decode()


def main() -> None:
    url, body_file, connections, seconds = sys.argv[1:]
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    load = Load(parts.hostname, parts.port, Path(body_file).read_bytes())
    end = time.perf_counter() + float(seconds)
    begin = time.perf_counter()
    asyncio.run(load.run(int(connections), lambda: time.perf_counter() < end))
    taken = time.perf_counter() - begin
    ordered = sorted(load.seconds)
    failed = load.broken + sum(count for status, count in load.statuses.items() if status != 200)
    print(
        json.dumps(
            {
                "answers": len(ordered),
                "rate": len(ordered) / taken,
                "p50_ms": ordered[len(ordered) // 2] * 1000,
                "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
                "failed": failed,
            }
        )
    )


if __name__ == "__main__":
    main()
