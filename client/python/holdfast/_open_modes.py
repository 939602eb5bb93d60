"""Modes of artifacts that are opened for writing."""

from __future__ import annotations

from typing import Literal

from holdfast.errors import InvalidArgumentError

TextMode = Literal["w", "a", "x", "wt", "at", "xt"]
BinaryMode = Literal["wb", "ab", "xb"]

# Seconds after which what was written is sent, so that those who follow see it within one.
FLUSH_INTERVAL = 0.5


def parse_mode(mode: object) -> tuple[str, bool]:
    """``w``, ``a`` or ``x``, and whether it is binary.

    Raises:
        InvalidArgumentError: It is no mode for writing.
    """
    kind = mode.replace("b", "", 1).replace("t", "", 1) if isinstance(mode, str) else ""
    if kind not in {"w", "a", "x"} or ("b" in str(mode) and "t" in str(mode)):
        raise InvalidArgumentError(
            f"Live artifacts are opened for writing: mode is 'w', 'a' or 'x', perhaps with 'b', not {mode!r:.40}. To "
            "read, use holdfast.artifacts.open, or tail_artifact for one that is being written."
        )
    return kind, "b" in str(mode)
