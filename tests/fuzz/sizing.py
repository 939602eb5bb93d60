"""How much is tried: a little on each run of the tests, more when asked."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from tests.faults.sizing import read_sizing

# At size 1, for each target and for each method.
EXAMPLES, CALLS = 150, 12


def effort(count: int) -> settings:
    """``count`` examples times ``HOLDFAST_FUZZ`` (quick, long, or a factor such as 6).

    At size 1 they are always the same, so that tests that pass once do so again; otherwise others each time.
    """
    sizing = read_sizing("HOLDFAST_FUZZ")
    return settings(
        max_examples=sizing.times(count),
        deadline=None,
        derandomize=sizing.factor == 1,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
