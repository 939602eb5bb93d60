"""Charts of one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.cli.tables import can_show

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"
_NAN = "x"


def sparkline(values: Sequence[float]) -> str:
    """One letter for each value, the higher the greater, in letters that standard output can show.

    The least and the greatest number span the line; where all are equal it runs in the middle. Infinities stand at its
    ends, and NaN is an x.
    """
    blocks = _BLOCKS if can_show(_BLOCKS) else _ASCII_BLOCKS
    finite = [value for value in values if math.isfinite(value)]
    least, greatest = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(
        _NAN if math.isnan(value) else blocks[_level(value, least, greatest, len(blocks))] for value in values
    )


def _level(value: float, least: float, greatest: float, levels: int) -> int:
    if math.isinf(value):
        return levels - 1 if value > 0 else 0
    if least == greatest:
        return levels // 2
    # Halved, so that the span of very large numbers is a number too.
    return min(levels - 1, int((value / 2 - least / 2) / (greatest / 2 - least / 2) * levels))
