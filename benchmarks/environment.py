"""What was run, and on what."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("holdfast", "mlflow", "minio", "grpcio", "protobuf", "boto3")


def describe(directory: Path) -> dict[str, str]:
    """Versions, cores, memory and file system; nothing that names the machine."""
    described = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": _cpu_model(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "file system": _file_system(directory),
        "commit": _commit(),
    }
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            described[package] = version(package)
    return described


def is_in_memory(directory: Path) -> bool:
    """Whether syncing means nothing there."""
    return _file_system(directory) in {"tmpfs", "ramfs"}


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """The type of the longest mount point above ``directory``."""
    best, kind, resolved = "", "unknown", str(directory.resolve())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, found = line.split()[:3]
        if f"{resolved}/".startswith(f"{mount.rstrip('/')}/") and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _commit() -> str:
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return "unknown"


def has_mlflow() -> bool:
    """Whether this Python can run MLflow."""
    from importlib.util import find_spec

    return find_spec("mlflow") is not None


assert sys.platform == "linux", "the benchmark reads /proc"
