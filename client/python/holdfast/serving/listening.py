"""Sockets: bound early, so that a port that is taken is told before a model is loaded for minutes."""

from __future__ import annotations

import errno
import socket

__all__ = ["bind", "free_port_near", "host_port"]


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound TCP socket that does not listen yet.

    Args:
        host: Address or name; of a name the first address.
        port: 0 for a free one.
        shared: Let other processes of this user bind the same port; Linux spreads connections over those that listen.

    Raises:
        OSError: It cannot be bound; the message says why and what to do.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise OSError(f"{host} is neither an address nor the name of one: {error.strerror}.") from error
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise OSError(_why_not(host, port, error)) from error
    return made


def free_port_near(host: str, port: int) -> int:
    """``port`` if it can be bound, else 0."""
    try:
        bind(host, port).close()
    except OSError:
        return 0
    return port


def host_port(host: str, port: int) -> str:
    """Both together, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use: stop what listens there, or choose another by --port or --grpc-port."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"Port {port} of {host} may not be bound by this user: choose one above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this host: choose another by --host."
    return f"Port {port} of {host} cannot be bound: {error.strerror}."
