"""Tries a store out."""

from __future__ import annotations

import contextlib
import secrets

from holdfast_server.errors import Unavailable
from holdfast_server.services.ports.artifacts import ObjectStore

_CONTENT = b"holdfast"


def try_out(objects: ObjectStore, description: str) -> None:
    """Write, read and remove a small object; one that a death leaves behind is an orphan, which gc removes.

    Raises:
        Unavailable: The store cannot be used; the message says what to look at.
    """
    key = f"check/{secrets.token_hex(16)}"
    objects.put(key, [_CONTENT])
    try:
        if objects.get(key, 0, len(_CONTENT)) != _CONTENT:
            raise Unavailable(f"{description} gives back other bytes than were stored.")
    except KeyError:
        raise Unavailable(f"{description} does not have what was just stored.") from None
    finally:
        with contextlib.suppress(Unavailable, OSError):
            objects.delete(key)
