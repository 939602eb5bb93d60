"""A metric as a chart shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricBucket:
    """The points of a metric in a range of steps, summed up.

    Attributes:
        first_step: The least step that has a point.
        last_step: The greatest, which is that of the last point.
        count: How many points there are, NaN included.
        nan_count: How many of them are NaN.
        min: The least value; None when all are NaN.
        max: The greatest.
        last: The value of the newest point: by step, then time, then value.
        last_timestamp: When that was measured, milliseconds since 1970, UTC.
    """

    first_step: int
    last_step: int
    count: int
    nan_count: int
    min: float | None
    max: float | None
    last: float
    last_timestamp: int
