"""What every test of autologging has."""

from __future__ import annotations

import pytest

import holdfast
import holdfast.sklearn
from holdfast import _active_run
from holdfast._autologging.switch import switch


@pytest.fixture(autouse=True)
def _off(fluent):
    yield
    holdfast.sklearn.autolog(disable=True)
    # For the next test nothing has been chosen.
    switch._chosen_by_itself = False
    assert _active_run.active_run() is None


@pytest.fixture
def experiment(fluent, name):
    return holdfast.set_experiment(f"autolog {name}").experiment_id


@pytest.fixture
def runs(fluent, experiment):
    """The runs of the test, oldest first."""

    def found():
        return fluent.search_runs([experiment], order_by=["attributes.start_time ASC"])

    return found


@pytest.fixture
def quick():
    """Autologging without what takes long and is not asked about."""
    holdfast.sklearn.autolog(log_models=False)
