"""Compares what two trainings left behind, perhaps on different processors."""

from __future__ import annotations

from typing import Any

import pytest

# They follow a classifier's probabilities, and those where its solver stopped: a step sooner or later elsewhere.
OF_PROBABILITIES = {"training_log_loss", "training_roc_auc"}


def rounded(value: Any, name: str = "") -> Any:
    """Without times, which differ each time, and with numbers that may differ in their last digits."""
    if isinstance(value, dict):
        return {key: "a time" if key.endswith("_time") else rounded(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item, name) for item in value]
    tolerance = 1e-3 if name in OF_PROBABILITIES else 1e-5
    return pytest.approx(value, rel=tolerance, abs=1e-7) if isinstance(value, float) else value
