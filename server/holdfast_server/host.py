"""What the host gives: time, random numbers, memory, descriptors and signals."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import signal
import time

# Of glibc's <malloc.h>.
_M_ARENA_MAX = -8
# More would each keep what a burst of blocks left in it: docs/decisions/0011-byte-budget.md.
MALLOC_ARENAS = 2
# Most hosts begin with 1,024, which one host with as many connections uses up.
DESCRIPTORS = 65_536
# What ends a server at once that stops already. A terminal that closes tells it more than once.
URGENT_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SystemClock:
    """The host's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000


class RandomIds:
    """Ids from the operating system's random numbers."""

    def new_id(self) -> str:
        """128 random bits as 32 hex digits."""
        return secrets.token_hex(16)


def share_malloc_arenas() -> None:
    """Let all threads of this process allocate from a few arenas, unless ``MALLOC_ARENA_MAX`` says how many.

    To be called before there are threads. Without glibc it does nothing.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MALLOC_ARENAS)


def raise_descriptor_limit() -> None:
    """Let this process have ``DESCRIPTORS`` files and connections open, or as many as the host allows."""
    begun, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
    if begun != resource.RLIM_INFINITY and begun < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def stopping_signals() -> list[signal.Signals]:
    """What asks a server to stop in good order: also its terminal that closes, unless ``nohup`` has it stay."""
    kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [*URGENT_SIGNALS, *([] if kept else [signal.SIGHUP])]
