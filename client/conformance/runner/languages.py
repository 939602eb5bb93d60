"""The languages that there are clients for, and how their drivers are built."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.conformance.runner.errors import BuildError, ToolchainMissingError
from tests.server_process import clean_environment

ROOT = Path(__file__).parents[3]
CLIENTS = ROOT / "client"
PYTHON_DRIVER = CLIENTS / "conformance" / "drivers" / "python" / "driver.py"
# What a client's Makefile exits with where its toolchain is missing.
TOOLCHAIN_MISSING = 3
BUILD_SECONDS = 1_200


@dataclass(frozen=True, slots=True)
class Language:
    """A language with its driver.

    Attributes:
        name: Also that of its directory in ``client/``.
        command: Starts the driver.
    """

    name: str
    command: tuple[str, ...]


PYTHON = Language("python", (sys.executable, str(PYTHON_DRIVER)))
LANGUAGES = (
    PYTHON,
    *(Language(name, (str(CLIENTS / name / "build" / "driver"),)) for name in ("go", "typescript", "java", "rust")),
)


def build(language: Language) -> None:
    """Build the driver, quickly when nothing changed; two processes that want the same one wait for each other.

    Raises:
        ToolchainMissingError: This machine has not what it takes; the text says what.
        BuildError: It cannot be built.
    """
    if language == PYTHON:
        return
    folder = CLIENTS / language.name
    if not (folder / "Makefile").is_file():
        raise ToolchainMissingError(f"there is no client/{language.name} yet")
    with locked(language):
        done = subprocess.run(
            ["make", "-C", str(folder), "driver"],
            env={**clean_environment(), "LC_ALL": "C", "MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": ""},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=BUILD_SECONDS, check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return
    # make itself always ends with 2; it tells what its command ended with.
    if f"Error {TOOLCHAIN_MISSING}\n" in done.stdout:
        lines = [line for line in done.stdout.splitlines() if line and not line.startswith("make")]
        raise ToolchainMissingError(lines[-1] if lines else f"the toolchain of {language.name} is missing")
    raise BuildError(f"`make -C client/{language.name} driver` ended with {done.returncode}:\n{done.stdout[-4_000:]}")


def driver_environment(folder: Path) -> Mapping[str, str]:
    """What drivers run in: nobody's settings of Holdfast, and names of files in UTF-8."""
    return {
        **clean_environment(),
        "LC_ALL": "C.UTF-8",
        "HOLDFAST_JOURNAL_DIR": str(folder / "journals"),
    }


@contextlib.contextmanager
def locked(language: Language) -> Iterator[None]:
    """Have what a language builds to oneself, among all processes of this user."""
    name = hashlib.sha256(os.fsencode(CLIENTS / language.name)).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"holdfast-driver-{os.getuid()}-{name}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
