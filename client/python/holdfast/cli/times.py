"""How the command line writes times."""

from __future__ import annotations

from datetime import datetime, timezone


def time_text(ms: int | None, *, seconds: bool = False) -> str:
    """Milliseconds since 1970 for people, in UTC as everything that servers say; ``-`` for None."""
    if ms is None:
        return "-"
    moment = datetime.fromtimestamp(ms / 1000, tz=timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if seconds else f"{moment:%Y-%m-%d %H:%M}"


def short_time(text: str) -> str:
    """What ``time_text`` wrote, without the seconds, or the time of day, that it has."""
    return text[:16] if len(text) > 16 else text[:10]
