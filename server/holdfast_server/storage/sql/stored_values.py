"""Doubles as SQLite can hold them: a value and what is special about it."""

from __future__ import annotations

import math

PLAIN, NAN, NEGATIVE_ZERO = 0, 1, 2
_SPECIAL = {NAN: float("nan"), NEGATIVE_ZERO: -0.0}


def stored(value: float) -> tuple[float, int]:
    """The columns value and special: SQLite would store NaN as NULL and forget the sign of -0.0."""
    if value:
        return (value, PLAIN) if value == value else (0.0, NAN)  # noqa: PLR0124 - only NaN differs from itself
    return (0.0, PLAIN if math.copysign(1.0, value) > 0 else NEGATIVE_ZERO)


def restored(value: float, special: int) -> float:
    """The double that ``stored`` made two columns of."""
    return _SPECIAL[special] if special else value
