"""A port that the processes of one server share, and no other server."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def port_held(host: str, port: int) -> Iterator[int]:
    """Hold a port within this block for processes of this user that ask for a shared one; yields its number.

    What listens there already is noticed, as ``SO_REUSEPORT`` is set after binding: with it, two servers of different
    data would share a port and each get half of the calls. Nothing is received here, since nothing listens.

    Args:
        host: Name or address.
        port: 0 for a free one.

    Raises:
        OSError: It cannot be bound.
    """
    with contextlib.ExitStack() as held:
        failure: OSError | None = None
        bound = False
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            holder = held.enter_context(socket.socket(family, kind, protocol))
            try:
                _bind(holder, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:  # a name may have an address of a protocol that is off here
                    raise
                failure = error
                continue
            bound, port = True, holder.getsockname()[1]
        if not bound:
            raise failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")
        yield port


def _bind(holder: socket.socket, address: tuple[object, ...]) -> None:
    # Connections of a server that ended lately linger on the port, and are no reason to refuse it.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(address)
    # From here on it is shared with those who ask for sharing, and with nobody else.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
