"""Autologging is turned on, off and set, for one library or for all."""

from __future__ import annotations

import pytest
from tests.client import logging_programs

import holdfast
import holdfast.sklearn
from holdfast._autologging.switch import switch
from holdfast.errors import InvalidArgumentError


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tuning_runs": -1},
        {"max_tuning_runs": 1.5},
        {"serialization_format": "json"},
        {"registered_model_name": "a/b"},
        {"extra_tags": ["a"]},
    ],
)
def test_settings_that_make_no_sense_are_refused_and_change_nothing(settings):
    holdfast.sklearn.autolog(silent=True)
    with pytest.raises(InvalidArgumentError):
        holdfast.sklearn.autolog(**settings)
    assert switch.settings.silent


EVERYTHING = """
import sys
import holdfast
holdfast.autolog(log_models=False, extra_tags={"team": "a"})
assert not {"sklearn", "numpy", "grpc", "google.protobuf"} & set(sys.modules), sorted(sys.modules)
from sklearn.linear_model import LinearRegression
from sklearn.datasets import load_iris
LinearRegression().fit(*load_iris(return_X_y=True))
print(holdfast.last_active_run().info.run_id)
"""


def test_autologging_of_everything_waits_for_what_is_imported(client, server, journals):
    (run_id,) = logging_programs.run(EVERYTHING, server, journals)
    run = client.get_run(run_id)
    assert run.data.tags["team"] == "a"
    assert "training_r2_score" in run.data.metrics


def test_what_was_said_of_one_library_counts_more():
    holdfast.autolog(silent=True)
    assert switch.settings.silent
    holdfast.sklearn.autolog(max_tuning_runs=1)
    holdfast.autolog(silent=True)
    assert switch.settings.max_tuning_runs == 1
    assert not switch.settings.silent
    holdfast.autolog(disable=True)
    assert switch.settings.max_tuning_runs == 1
    holdfast.sklearn.autolog(disable=True)
    assert switch.settings is None
    holdfast.autolog()
    assert switch.settings is None
    holdfast.sklearn.autolog()
    assert switch.settings is not None


def test_all_libraries_are_turned_on_and_off_where_nothing_was_said_of_one():
    holdfast.autolog(exclude_flavors=["sklearn"])
    assert switch.settings is None
    holdfast.autolog()
    assert switch.settings is not None
    holdfast.autolog(disable=True)
    assert switch.settings is None
    holdfast.autolog(silent=True)
    assert switch.settings.silent


def test_a_scikit_learn_that_is_too_old_can_be_left_alone(monkeypatch, caplog):
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "1.2.2")
    holdfast.sklearn.autolog(disable_for_unsupported_versions=True)
    assert switch.settings is None
    assert "1.3" in caplog.text
    holdfast.sklearn.autolog()
    assert switch.settings is not None
