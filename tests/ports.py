"""Ports for tests that have to name one before somebody listens there."""

from __future__ import annotations

import contextlib
import secrets
import socket
from pathlib import Path

# The first port that the system gives to whoever asks for any, and to outgoing connections: as IANA has it.
EPHEMERAL = 49_152
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
COUNT = 10_000


def free_port() -> int:
    """A port of loopback that nobody has at the moment, and that nobody gets by chance.

    The system gives none of these away by itself. So a server that is away for a while finds its port free when it
    returns, and a client that calls it meanwhile cannot be connected to itself, which happens where the system takes
    the very port that is called for the caller's own.
    """
    first = int(RANGE.read_text().split()[0]) if RANGE.exists() else EPHEMERAL
    lowest = max(first - COUNT, 1_024)
    while first > lowest:
        port = lowest + secrets.randbelow(first - lowest)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:  # all are given away here
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)
