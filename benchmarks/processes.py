"""What processes use: CPU seconds and memory, as /proc tells them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far and the peak of memory in bytes since ``reset_peaks``."""

    cpu: float
    peak: int


def session(leader: int) -> list[int]:
    """The processes of the session that ``leader`` leads."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if int(_stat(int(entry.name))[3]) == leader:
                    found.append(int(entry.name))
    return found


def usage(pids: Iterable[int]) -> Usage:
    """Of all ``pids`` together.

    The peak of one process is its VmHWM. Of several, whose pages are partly shared, it is their PSS now and what each
    had more at its own peak.
    """
    cpu, peaks, shared = 0.0, [], 0
    for pid in pids:
        with suppress(OSError):
            # Children that have ended and were waited for count with their parent.
            cpu += sum(int(field) for field in _stat(pid)[11:15]) / _TICKS
            memory = _memory(f"/proc/{pid}/status")
            peaks.append(memory["VmHWM"])
            shared += _memory(f"/proc/{pid}/smaps_rollup")["Pss"] + memory["VmHWM"] - memory["VmRSS"]
    return Usage(cpu, peaks[0] if len(peaks) == 1 else shared)


def reset_peaks(pids: Iterable[int]) -> None:
    """Let VmHWM begin anew at what is resident now."""
    for pid in pids:
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def own_memory() -> tuple[int, int]:
    """Resident bytes of this process, and their peak."""
    memory = _memory("/proc/self/status")
    return memory["VmRSS"], memory["VmHWM"]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; the second is a name that may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _memory(path: str) -> dict[str, int]:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return {name: int(value.split()[0]) * 1024 for name, _, value in lines if value.endswith(" kB")}
