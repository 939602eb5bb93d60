"""Servers that clients start for a data directory, as seen from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def server_pid(data_dir: Path) -> int | None:
    """The process that serves ``data_dir``, by its command line."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"holdfast_server.embedded" in command and os.fsencode(data_dir) in command:
            return int(process.name)
    return None


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
