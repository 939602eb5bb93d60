"""How long single small calls take."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.clients.job import Job

# Between calls, so that the caller is not itself the load.
PAUSE = 0.005
SMALL = 4096


def measure_latency(client: Any, job: Job) -> dict[str, float]:
    """Repeat the client's ``calls()`` in turn for ``job.seconds``, or until a line arrives on standard input.

    Returns:
        For each call its milliseconds at the 50th and 99th percentile, at most, and how many there were.
    """
    calls: dict[str, Callable[[], object]] = client.calls(job)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    deadline = time.monotonic() + job.seconds
    while time.monotonic() < deadline and not _told_to_stop():
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - start) * 1000)
    figures: dict[str, float] = {}
    for name, values in taken.items():
        values.sort()
        figures |= {
            f"{name}_p50": values[len(values) // 2],
            f"{name}_p99": values[int(len(values) * 0.99)],
            f"{name}_max": values[-1],
            f"{name}_count": len(values),
        }
    return figures


def fresh_file(job: Job) -> Path:
    """A small file that no server has."""
    path = Path(job.target) / "small.bin"
    path.write_bytes(os.urandom(SMALL))
    return path


def _told_to_stop() -> bool:
    return bool(select.select([sys.stdin], [], [], PAUSE)[0])
