"""Fitted models, and where packages of them go."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.ensemble import RandomForestClassifier
from tests.client.models.iris import FRAME, X, Y


@pytest.fixture(scope="session")
def forest() -> RandomForestClassifier:
    """Takes arrays."""
    return RandomForestClassifier(3, random_state=0).fit(X, Y)


@pytest.fixture(scope="session")
def frame_forest() -> RandomForestClassifier:
    """Takes frames with the columns a to d."""
    return RandomForestClassifier(3, random_state=0).fit(FRAME, Y)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a package that is not there yet."""
    return tmp_path / "model"
