"""Charts of one line."""

from __future__ import annotations

import io
import math
import sys

import pytest

from holdfast.cli.sparklines import sparkline


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█", id="rising"),
        pytest.param([3.0, 3.0], "▅▅", id="flat"),
        pytest.param([-1e308, 1e308], "▁█", id="span beyond the numbers"),
        pytest.param([0.0, math.nan, 1.0, math.inf, -math.inf], "▁x██▁", id="specials"),
        pytest.param([math.nan], "x", id="only NaN"),
        pytest.param([math.inf], "█", id="only infinite"),
    ],
)
def test_values_are_letters(values, expected):
    assert sparkline(values) == expected


def test_a_terminal_of_ascii_gets_ascii(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "_.-=+*#@"
