"""The other Python, which has MLflow: what it demands is not to decide what Holdfast is developed against."""

from __future__ import annotations

import os

import pytest

MLFLOW_PYTHON = os.environ.get("HOLDFAST_MLFLOW_PYTHON", "")
# Importing MLflow takes ten seconds, and a minute on a machine that is busy; saving its models, many times that.
SECONDS = 380
beside_mlflow = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 20),
    pytest.mark.skipif(
        not MLFLOW_PYTHON,
        reason="NOT CHECKED AGAINST MLFLOW: run `make interop`, or set HOLDFAST_MLFLOW_PYTHON to a Python that has"
        " mlflow>=3.17 and this repository's client",
    ),
]
