"""Milliseconds, which MLflow's API speaks, and protobuf's timestamps."""

from __future__ import annotations

import math
import numbers
import time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.errors import InvalidArgumentError

# The years 1 to 9999, which is what a Timestamp may hold.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def check_ms(ms: Any, metric: object = None) -> int:
    """Milliseconds since 1970 as a whole number.

    Args:
        ms: Any number.
        metric: The key of the point that it is the time of.

    Raises:
        InvalidArgumentError: It lies outside the years 1 to 9999, as seconds or nanoseconds passed by mistake often do.
    """
    # numpy's numbers register as Real; NaN compares false. Asking for the type first takes a fifth of the time.
    number: Any = ms if type(ms) is int or isinstance(ms, numbers.Real) else math.nan
    if not _FIRST_MS <= number <= _LAST_MS:
        what = "A time" if metric is None else f"The time of metric {metric!r:.250}"
        raise InvalidArgumentError(f"{what} is milliseconds since 1970 in the years 1 to 9999, not {ms!r:.80}.")
    return int(number)


def ms_to_proto(ms: int) -> Timestamp:
    """A timestamp of milliseconds since 1970.

    Raises:
        InvalidArgumentError: It lies outside the years 1 to 9999, as seconds or nanoseconds passed by mistake often do.
    """
    seconds, rest = divmod(check_ms(ms), 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def ms_from_proto(timestamp: Timestamp) -> int:
    """Milliseconds since 1970 of a timestamp."""
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000
