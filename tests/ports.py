"""Ports for tests that have to name one before somebody listens there."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
