"""The network between a client and its server, which counts, stands still, breaks, and flips bits."""

from __future__ import annotations

import threading
from collections.abc import Callable

# What the proxy makes of the bytes of one direction of one connection, as they pass.
Changing = Callable[[bytes], bytes]


class BitFlipper:
    """Flips a bit wherever a marker passes, or where it passes first.

    A frame's header may split a marker; so files hold theirs many times.

    Attributes:
        marker: Bytes that nothing else has.
        flipped: How often it was done.
    """

    def __init__(self, marker: bytes, *, up: bool, once: bool) -> None:
        self.marker, self.flipped = marker, 0
        self._up, self._once = up, once
        self._lock = threading.Lock()

    def begin(self, up: bool) -> Changing | None:
        """What to do with a direction of a new connection."""
        if up != self._up:
            return None
        before = b""

        def change(data: bytes) -> bytes:
            nonlocal before
            seen = before + data
            before = seen[1 - len(self.marker) :]
            return self._changed(seen, len(data))

        return change

    def _changed(self, seen: bytes, size: int) -> bytes:
        """The last ``size`` bytes of what passed; a marker's last byte is always among those that have not yet."""
        found = seen.find(self.marker)
        if found < 0:
            return seen[len(seen) - size :]
        changed = bytearray(seen)
        with self._lock:
            while found >= 0 and not (self._once and self.flipped):
                changed[found + len(self.marker) - 1] ^= 1
                self.flipped += 1
                found = seen.find(self.marker, found + len(self.marker))
        return bytes(changed[len(seen) - size :])
