"""How the command line writes JSON: so that every reader of JSON takes it."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(value: Any) -> str:
    """A value as one line of JSON. JSON has no NaN and infinities; they become texts, as in protobuf's JSON.

    ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are what ``float`` of Python and ``Number`` of JavaScript understand.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_without_specials(value), allow_nan=False)


def float_text(value: float) -> str:
    """A number as it is written in JSON and CSV, from which it comes back exactly."""
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _without_specials(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return float_text(value)
    if isinstance(value, dict):
        return {key: _without_specials(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_specials(item) for item in value]
    return value
