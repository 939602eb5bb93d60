"""Parsers of the values of settings: each reads the text of a flag or variable.

All raise ``ValueError`` with the rule that the text breaks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from holdfast_server.config import MIB

MAX_PORT = 65535
MAX_LIMIT = 1_000_000
# A block has 8 MiB; with less than two of them one upload could not have a block under way while the next arrives.
MIN_BYTE_BUDGET = 16 * MIB

_UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def any_text(text: str) -> str:
    """Any text."""
    return text


def switch(text: str) -> bool:
    """``on`` or ``off``, or another usual pair of words for them."""
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("a switch is on or off")


def one_of(*choices: str, what: str = "it") -> Callable[[str], str]:
    """A parser of one of some words, in upper or lower case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{what} is one of {', '.join(choices)}")
        return text.lower()

    return parse


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """A parser of whole numbers within bounds, which are included."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not lowest <= int(text) <= highest:
            raise ValueError(f"it is a number from {lowest} to {highest}")
        return int(text)

    return parse


def limit(text: str) -> int:
    """How many there may be; 0: any number."""
    if not (text.isascii() and text.isdecimal()) or int(text) > MAX_LIMIT:
        raise ValueError(f"it is a number up to {MAX_LIMIT}; 0 is any number")
    return int(text)


def port(text: str) -> int:
    """A port of TCP; 0: a free one."""
    if not (text.isascii() and text.isdecimal()) or int(text) > MAX_PORT:
        raise ValueError(f"a port is a number from 0 to {MAX_PORT}")
    return int(text)


def seconds(text: str) -> float:
    """A time in seconds, above 0 and not endless."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("it is a number of seconds above 0")
    return value


def size(text: str) -> int:
    """A number of bytes, written with or without a binary unit."""
    match = re.fullmatch(r"([0-9]{1,15}) ?([KMG]iB)?", text, re.IGNORECASE)
    if not match:
        raise ValueError("a size is a number of bytes, or of KiB, MiB or GiB, such as 64MiB")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def byte_budget(text: str) -> int:
    """Bytes of memory that transfers have."""
    value = size(text)
    if value < MIN_BYTE_BUDGET:
        raise ValueError("it is at least 16MiB, two blocks")
    return value


def message_size(text: str) -> int:
    """Bytes that a message may have."""
    value = size(text)
    if not 4 * MIB <= value <= 64 * MIB:
        raise ValueError("it is from 4MiB to 64MiB")
    return value


def rate(text: str) -> int:
    """Bytes a second; 0: as fast as can be."""
    value = size(text)
    if 0 < value < MIB:
        raise ValueError("it is at least 1MiB, or 0 for as fast as can be")
    return value


def path(text: str) -> Path:
    """A path, with ``~`` for the home directory."""
    if not text:
        raise ValueError("a path is not empty")
    return Path(text).expanduser()


def optional_path(text: str) -> Path | None:
    """A path; none if empty."""
    return path(text) if text else None


def optional_address(text: str) -> str:
    """A host and a port; none if empty."""
    if not text:
        return ""
    host, _, port_text = text.rpartition(":")
    if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError("it is HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    port(port_text)
    return text


def optional_endpoint(text: str) -> str:
    """An HTTP URL; none if empty."""
    if text and not re.fullmatch(r"https?://[^\s/?#@]+(/\S*)?", text):
        raise ValueError("it is a URL such as http://127.0.0.1:4317")
    return text
