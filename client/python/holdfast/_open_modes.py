"""How artifacts are opened for writing."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from holdfast.errors import InvalidArgumentError

TextMode = Literal["w", "a", "x", "wt", "at", "xt"]
BinaryMode = Literal["wb", "ab", "xb"]

# Seconds after which what was written is sent, so that those who follow see it within one.
FLUSH_INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class OpenMode:
    """How an artifact is opened: ``kind`` is ``w``, ``a`` or ``x``; ``encoding`` is None for bytes."""

    kind: str
    encoding: str | None
    flush_interval: float

    @classmethod
    def parse(cls, mode: object, encoding: str, flush_interval: float) -> OpenMode:
        """Check what the caller asks for, before anything is begun.

        Raises:
            InvalidArgumentError: It is no mode for writing, no encoding, or no time.
        """
        text = mode if isinstance(mode, str) else ""
        kind = text.replace("b", "", 1).replace("t", "", 1)
        if kind not in {"w", "a", "x"} or {"b", "t"} <= set(text):
            raise InvalidArgumentError(
                f"Live artifacts are opened for writing: mode is 'w', 'a' or 'x', perhaps with 'b', not {mode!r:.40}. "
                "To read, use holdfast.artifacts.open, or tail_artifact for one that is being written."
            )
        if not isinstance(flush_interval, (int, float)) or not flush_interval >= 0:
            raise InvalidArgumentError(f"flush_interval is a number of seconds from 0, not {flush_interval!r:.40}.")
        if "b" in text:
            return cls(kind, None, flush_interval)
        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError):
            raise InvalidArgumentError(f"{encoding!r:.40} is no encoding that Python knows.") from None
        return cls(kind, encoding, flush_interval)
