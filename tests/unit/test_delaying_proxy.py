"""The line of the benchmarks over a long round trip."""

from __future__ import annotations

import pytest
from benchmarks.delaying_proxy import Line


def test_a_line_of_a_stated_rate_takes_bytes_one_after_the_other():
    line = Line(delay=0.025, rate=1_000)
    assert line.arrival(100, now=5.0) == pytest.approx(5.125)
    assert line.arrival(100, now=5.0) == pytest.approx(5.225)
    assert line.queue(5.05) == pytest.approx(0.15)
    assert line.arrival(100, now=9.0) == pytest.approx(9.125)
    assert line.queue(9.2) == 0


def test_a_line_without_a_rate_only_delays():
    line = Line(delay=0.025, rate=0)
    assert [line.arrival(10**9, now=1.0) for _ in range(2)] == [1.025, 1.025]
    assert line.queue(1.0) == 0
