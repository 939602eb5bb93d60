"""The clients' drivers, which ``client/conformance/README.md`` describes: built, started, and told what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from benchmarks import processes, servers

LANGUAGES = ("python", "go", "typescript", "java", "rust")
CLIENTS = servers.ROOT / "client"
PYTHON_DRIVER = CLIENTS / "conformance" / "drivers" / "python" / "driver.py"


class DriverError(Exception):
    """A driver cannot be built, did not do what it was told, or ended."""


class NoDriverError(Exception):
    """There is no driver of a language here; the text says what is missing."""


def build(language: str, clients: Path = CLIENTS) -> list[str]:
    """Build the driver of a language, quickly when nothing changed; returns the command that starts it.

    Raises:
        NoDriverError: The client, or the toolchain that it takes, is not here.
        DriverError: It cannot be built; the end of what was printed is included.
    """
    if language == "python":
        if not PYTHON_DRIVER.is_file():
            raise NoDriverError(f"there is no {PYTHON_DRIVER.relative_to(servers.ROOT)}")
        return [sys.executable, str(PYTHON_DRIVER)]
    folder = clients / language
    if not (folder / "Makefile").is_file():
        raise NoDriverError(f"there is no client/{language}")
    done = subprocess.run(
        ["make", "-C", str(folder), "driver"],
        env={**servers.environment(), "LC_ALL": "C", "MAKEFLAGS": "", "MAKELEVEL": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # make itself always ends with 2; it tells that its command ended with 3, as one does whose toolchain is missing.
    if done.returncode and "Error 3\n" in done.stdout:
        said = [line for line in done.stdout.splitlines() if line and not line.startswith("make")]
        raise NoDriverError(said[-1] if said else "its toolchain is missing")
    if done.returncode:
        raise DriverError(f"`make -C {folder} driver` ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return [str(folder / "build" / "driver")]


class Driver:
    """A driver that runs, and leads a session."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def pids(self) -> list[int]:
        """All its processes."""
        return processes.session(self._process.pid)

    def ask(self, op: str, **arguments: str) -> dict[str, Any]:
        """Have something done and wait for the answer.

        Raises:
            DriverError: It answers with an error, or ended.
        """
        stdin, stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        with suppress(BrokenPipeError):
            stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            stdin.flush()
        line = stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._log.read_text(errors="replace")[-2000:]}
        if "ok" not in answer:
            raise DriverError(f"{op}: {answer.get('error')}")
        ok: dict[str, Any] = answer["ok"]
        return ok


@contextmanager
def running_driver(command: list[str], directory: Path) -> Iterator[Driver]:
    """Start a driver; what is left of it is killed at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=servers.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    with process:
        try:
            yield Driver(process, log)
        finally:
            with suppress(OSError):
                _pipe(process.stdin).close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(servers.STOP_TIMEOUT)
            for pid in processes.session(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
