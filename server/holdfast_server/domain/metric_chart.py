"""What a chart shows of a metric with many points: ranges of steps, each with its least, greatest and last value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast_server.errors import InvalidArgument

MIN_STEP, MAX_STEP = -(1 << 63), (1 << 63) - 1
# From so many points on it is quicker to sum them up together.
_MANY = 8


@dataclass(frozen=True, slots=True)
class StepRange:
    """Steps from ``first`` to ``last``, both included."""

    first: int = MIN_STEP
    last: int = MAX_STEP

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise InvalidArgument(
                f"No step lies between {self.first} and {self.last}; give the smaller one as min_step.",
                field="min_step",
            )


@dataclass(slots=True)
class MetricBucket:
    """The points of a range of steps, summed up while they are added; a new one has none.

    Attributes:
        points: How many there are, NaN included.
        nans: How many of them are NaN, which is neither the least nor the greatest of anything.
        minimum: The least value; None when all are NaN.
        maximum: The greatest.
        first_step: The least step that has a point.
        last_step: The greatest; the step of the last point.
        last_time: When the last point was measured, in milliseconds since 1970.
        last_value: Its value. The last is the newest as it is everywhere: by step, then time, then value.
    """

    points: int = 0
    nans: int = 0
    minimum: float | None = None
    maximum: float | None = None
    first_step: int = MAX_STEP + 1
    last_step: int = MIN_STEP - 1
    last_time: int = 0
    last_value: float = 0.0

    def add(self, step: int, timestamp: int, value: float) -> None:
        """Count one point."""
        self.points += 1
        if value != value:  # noqa: PLR0124 - only NaN differs from itself
            self.nans += 1
        else:
            if self.minimum is None or value < self.minimum:
                self.minimum = value + 0.0  # -0.0 is no less than 0.0
            if self.maximum is None or value > self.maximum:
                self.maximum = value + 0.0
        if step < self.first_step:  # noqa: PLR1730 - min() takes twice as long, and every point comes by here
            self.first_step = step
        if step > self.last_step or (
            step == self.last_step and (timestamp, _ordered(value)) > (self.last_time, _ordered(self.last_value))
        ):
            self.last_step, self.last_time, self.last_value = step, timestamp, value

    def add_all(self, points: Sequence[tuple[int, int, float]]) -> None:
        """Count points, each a step, a time and a value; many at once take a fraction of the time."""
        values = [value for _, _, value in points]
        if len(points) < _MANY or math.isnan(sum(values)):  # what compares with NaN has no order
            for point in points:
                self.add(*point)
            return
        (first_step, _, _), (last_step, last_time, last_value) = min(points), max(points)
        self.merge(
            MetricBucket(
                len(points), 0, min(values) + 0.0, max(values) + 0.0, first_step, last_step, last_time, last_value
            )
        )

    def merge(self, other: MetricBucket) -> None:
        """Count the points of another one too."""
        self.points += other.points
        self.nans += other.nans
        if other.minimum is not None and (self.minimum is None or other.minimum < self.minimum):
            self.minimum = other.minimum
        if other.maximum is not None and (self.maximum is None or other.maximum > self.maximum):
            self.maximum = other.maximum
        self.first_step = min(self.first_step, other.first_step)
        newest = (other.last_step, other.last_time, _ordered(other.last_value))
        if newest > (self.last_step, self.last_time, _ordered(self.last_value)):
            self.last_step, self.last_time, self.last_value = other.last_step, other.last_time, other.last_value


def _ordered(value: float) -> float:
    """What a value counts as where points compare: NaN as 0, as in MLflow."""
    return value if value == value else 0.0  # noqa: PLR0124
