"""How the command line writes sizes, times and rates."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(size: float) -> str:
    """Bytes for people, such as ``512 B`` and ``1.4 GiB``."""
    power = 0
    while size >= 1024 and power < len(_UNITS) - 1:
        size, power = size / 1024, power + 1
    if power and round(size, 1) >= 1024 and power < len(_UNITS) - 1:  # 1023.99 KiB reads as 1.0 MiB
        size, power = size / 1024, power + 1
    return f"{size:.1f} {_UNITS[power]}" if power else f"{size:.0f} B"


def seconds_text(seconds: float) -> str:
    """A length of time for people, such as ``0.3 s`` and ``2 min 5 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def rate_text(size: int, seconds: float) -> str:
    """Bytes a second for people."""
    return f"{size_text(size / max(seconds, 1e-6))}/s"


def count_text(count: int, what: str, plural: str | None = None) -> str:
    """A number of things, such as ``1 file`` and ``1,204 files``."""
    return f"{count:,} {what if count == 1 else plural or what + 's'}"
