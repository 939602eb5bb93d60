"""What a server process takes over time, and how long its answers take."""

from __future__ import annotations

import math
import re
import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


def anonymous_bytes(pid: int) -> int:
    """Memory that a process has made, without the pages of files that it has mapped, such as the database."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    assert found, status
    return int(found[1]) << 10


def heap_bytes(path: Path) -> int:
    """What the heap of a ``watched_server`` holds."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60)
        asking.connect(str(path))
        with asking.makefile("rb") as answer:
            return int(answer.read())


def descriptors(pid: int) -> int:
    """Files, sockets and pipes that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass
class Samples:
    """Values over time."""

    values: list[tuple[float, float]] = field(default_factory=list)

    def add(self, value: float) -> None:
        self.values.append((time.monotonic(), value))

    def slope(self) -> float:
        """Units a second, by Theil and Sen: the median of the slopes between points, which outliers do not move."""
        kept = self.values[:: max(1, len(self.values) // 300)]
        slopes = [
            (later - earlier) / (end - begin)
            for number, (begin, earlier) in enumerate(kept)
            for end, later in kept[number + 1 :]
        ]
        return statistics.median(slopes)

    def medians(self, parts: int) -> list[float]:
        """The median of each part of the time, one after the other: what a single look at a busy process would hide."""
        count = len(self.values)
        cuts = [count * part // parts for part in range(parts + 1)]
        return [
            statistics.median(value for _, value in self.values[begin:end])
            for begin, end in pairwise(cuts)
            if begin < end
        ]


async def timed(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Seconds of so many calls, one after the other."""
    found = []
    for _ in range(count):
        begin = time.perf_counter()
        await call()
        found.append(time.perf_counter() - begin)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
