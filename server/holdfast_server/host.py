"""What the host gives: time and random numbers."""

from __future__ import annotations

import secrets
import time


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
