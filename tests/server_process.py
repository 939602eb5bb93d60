"""A real ``python -m holdfast_server`` for tests: started, waited for, and stopped by its own pid."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT = 120.0


@dataclass(slots=True)
class ServerProcess:
    """A server that serves."""

    address: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def line(self, start: str) -> str:
        """What the server says by a line that begins so; waits for it, as it says more than where it serves."""
        give_up = time.monotonic() + START_TIMEOUT
        while time.monotonic() < give_up:
            for line in list(self.lines):
                if line.startswith(start):
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line begins with {start!r}: {self.lines}")

    def stop(self, *, timeout: float = 60) -> int:
        """Send SIGTERM and wait; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of Holdfast that a developer may have."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HOLDFAST_") or name == "HOLDFAST_JOURNAL_DIR"  # of this run of the tests
    }
    return {**kept, **(extra or {})}


@contextmanager
def running_server(
    *arguments: str,
    command: Sequence[str | Path] = (sys.executable, "-m", "holdfast_server"),
    environment: Mapping[str, str] | None = None,
) -> Iterator[ServerProcess]:
    """Start a server and wait for the line that names its address; what is left of it is killed at the end.

    Raises:
        AssertionError: It ended, or did not say that it serves; its output is included.
    """
    process = subprocess.Popen(
        [*command, *arguments],
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    ready = threading.Event()

    def follow() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if " serving on " in line:
                ready.set()
        ready.set()

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        assert ready.wait(START_TIMEOUT), f"no answer from the server: {lines}"
        address = re.search(r" serving on (?:holdfast(?:\+tls)?://)?(\S+?),? ", "\n".join(lines))
        assert address, f"the server did not start: {lines}"
        yield ServerProcess(address[1], process, lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(10)
        assert process.stderr is not None
        process.stderr.close()


def run_server(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast_server", *arguments],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
