"""What tests of backups share: the command as a process, and stores with something in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.backends import Backend, backend, local_backend, minio_backend
from tests.server_process import clean_environment

from holdfast._client import Client

__all__ = ["Backend", "backend", "local_backend", "minio_backend"]

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


@dataclass(frozen=True)
class Command:
    """Runs ``holdfast`` as a process."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it to its end; its exit code is the expected one."""
        done = subprocess.run(
            [HOLDFAST, *map(str, arguments)],
            capture_output=True, text=True, timeout=120, check=False, env=clean_environment(self.environment),
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: object) -> dict[str, Any]:
        """Run it and read what it says."""
        answer: dict[str, Any] = json.loads(self(*arguments, "--json").stdout)
        return answer

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(
            [HOLDFAST, *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=clean_environment(self.environment),
        )  # fmt: skip


@pytest.fixture
def holdfast() -> Command:
    """The command, without credentials of any bucket."""
    return Command({})


@pytest.fixture
def holdfast_of() -> Callable[[Backend], Command]:
    """Makes the command with the credentials that a backend's blocks need."""
    return lambda backend: Command(backend.environment)


def log_files(client: Client, folder: Path, contents: Mapping[str, bytes], *, metric: float = 1.0) -> str:
    """Log files in one call, and a metric, to a new run; returns its id."""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    run_id = client.create_run("0").info.run_id
    client.log_metrics(run_id, {"loss": metric})
    client.log_artifacts(run_id, folder)
    return run_id


def new_contents(prefix: str = "") -> dict[str, bytes]:
    """Small files that share a pack, and one of two blocks."""
    small = {f"{prefix}small-{number}": os.urandom(700 + number) for number in range(8)}
    return {**small, f"{prefix}large": os.urandom((8 << 20) + 5)}


def read_all(client: Client, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
    """What a run's files are at the server."""
    return {name: client.artifacts.read_bytes(f"runs:/{run_id}/{name}") for name in names}


def objects_below(directory: Path) -> list[Path]:
    """The objects of a local store, or those of a directory of backups."""
    return sorted(path for top in ("blocks", "packs") for path in (directory / top).glob("*/*"))
