"""JSON of the command line."""

from __future__ import annotations

import json
import math

import pytest

from holdfast.cli.json_output import float_text, json_text


def test_specials_are_texts_wherever_they_are():
    value = {"a": [1.5, math.nan, {"b": (math.inf, -math.inf)}], "c": "NaN"}
    assert json.loads(json_text(value)) == {"a": [1.5, "NaN", {"b": ["Infinity", "-Infinity"]}], "c": "NaN"}


@pytest.mark.parametrize("value", [0.1, 1e300, -0.0, 5e-324, math.inf, -math.inf])
def test_numbers_come_back_exactly(value):
    assert float(float_text(value)) == value


def test_nan_comes_back():
    assert math.isnan(float(float_text(math.nan)))


def test_what_is_no_json_stays_an_error():
    with pytest.raises(TypeError):
        json_text({"a": object()})
