"""Failures of logging break no training."""

from __future__ import annotations

import contextlib
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from tests.client import logging_programs
from tests.client.sklearn.autolog_estimators import Stubborn, X, Y, raise_

import holdfast
import holdfast.sklearn
from holdfast import _active_run


def full_of_faults(patch, client):
    """A client of which every call that logs raises something."""
    kind = type(client)
    for method in (
        "log_params", "log_metrics", "log_metric", "set_tags", "log_inputs", "log_bytes", "log_text", "log_dict",
        "create_logged_model", "log_outputs", "get_run", "set_terminated",
    ):  # fmt: skip
        patch.setattr(kind, method, _broken(method))


def _broken(method):
    def call(*_args, **_kwargs):
        raise RuntimeError(f"{method} is broken")

    return call


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "train",
    [
        pytest.param(lambda: DecisionTreeClassifier(random_state=0).fit(X, Y), id="classifier"),
        pytest.param(lambda: GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, cv=2).fit(X, Y), id="search"),
    ],
)
def test_a_client_full_of_faults_breaks_no_training(fluent, monkeypatch, caplog, train, experiment):
    expected = train().predict(X)
    holdfast.sklearn.autolog()
    with holdfast.start_run(), monkeypatch.context() as patch:
        full_of_faults(patch, fluent)
        model = train()
        assert np.array_equal(model.predict(X), expected)
        assert metrics.accuracy_score(Y, model.predict(X)) > 0.9
        assert model.score(X, Y) > 0.9
    for what in ("log_params is broken", "log_metrics is broken", "get_run is broken"):
        assert what in caplog.text
    assert {record.levelno for record in caplog.records if record.name == "holdfast.sklearn"} == {logging.WARNING}


class Oblique(LogisticRegression):
    """An estimator that is no search, and whose attribute is named as one of a search."""

    def __init__(self, found=None):
        self.found = found
        super().__init__(max_iter=500)

    @property
    def best_params_(self):
        if self.found:
            raise RuntimeError("not a search")


@pytest.mark.filterwarnings("ignore:The model refers to the modules")
@pytest.mark.parametrize("found", [None, "an error"])
def test_what_only_searches_have_is_not_looked_for_in_others(runs, caplog, found):
    holdfast.sklearn.autolog()
    assert Oblique(found).fit(X, Y).score(X, Y) > 0.9
    (run,) = runs()
    assert len(run.outputs.model_outputs) == 1
    assert "What the search found" not in caplog.text


class UnspeakableError(Exception):
    """An error that cannot even say what it is."""

    def __str__(self):
        raise RuntimeError("broken")


# What is called while a training, a prediction or a metric is logged.
PARTS_OF_LOGGING = (
    "training.Training.begin", "training.Training.end", "training.Training.__init__", "training.Training._log_pictures",
    "training.TrainingData.of_call", "training.params_of", "training.loggable", "training.tags_of", "training.describe",
    "training.best_params_of", "training.is_search", "training.training_metrics", "training.pictures_of_training",
    "training.searches.log_candidates", "packages.signature_of", "packages.log_estimator", "evaluations._variable_of",
    "evaluations._command", "evaluations.Evaluations.add", "evaluations.Evaluations.note_prediction",
    "evaluations.Evaluations.log_score", "evaluations.Evaluations.log_metric", "runs.user_run", "runs.start_run",
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS_OF_LOGGING)
def test_no_part_of_logging_breaks_a_training_by_an_error(experiment, monkeypatch, caplog, part):
    def raise_unspeakable(*_args, **_kwargs):
        raise UnspeakableError

    holdfast.sklearn.autolog(log_models=part.startswith("packages"))
    run = contextlib.nullcontext() if part.startswith("runs") else holdfast.start_run()
    with run, monkeypatch.context() as patch:
        patch.setattr(f"holdfast._autologging.{part}", raise_unspeakable)
        if part.startswith("training"):
            GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, cv=2).fit(X, Y)
        model = GaussianNB().fit(X, Y)
        assert metrics.accuracy_score(Y, model.predict(X)) > 0.9
        assert model.score(X, Y) > 0.9
    assert "UnspeakableError" in caplog.text


def test_modules_that_cannot_be_imported_break_no_training(experiment, monkeypatch, caplog):
    holdfast.sklearn.autolog()
    for module in ("training", "packages", "datasets"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, f"holdfast._autologging.{module}", None)
            model = GaussianNB().fit(X, Y)
            assert metrics.accuracy_score(Y, model.predict(X)) > 0.9
        assert f"holdfast._autologging.{module}" in caplog.text


def test_the_error_of_an_estimator_is_raised_even_if_its_run_cannot_end(experiment, monkeypatch, caplog):
    holdfast.sklearn.autolog(log_models=False)
    error = KeyError("mine")
    with monkeypatch.context() as patch:
        patch.setattr(_active_run.ActiveRun, "__exit__", _broken("the end"))
        with pytest.raises(KeyError) as raised:
            make_pipeline(Stubborn(raise_(error))).fit(X, Y)
    assert raised.value is error
    assert "the end is broken" in caplog.text
    holdfast.end_run()


def test_a_run_that_cannot_begin_or_end_breaks_no_training(fluent, monkeypatch, caplog, experiment):
    holdfast.sklearn.autolog(log_models=False)
    with monkeypatch.context() as patch:
        patch.setattr(type(fluent), "create_run", _broken("create_run"))
        assert LinearRegression().fit(X, Y).score(X, Y) > 0.5
    with monkeypatch.context() as patch:
        patch.setattr(type(fluent), "set_terminated", _broken("set_terminated"))
        assert LinearRegression().fit(X, Y).score(X, Y) > 0.5
    assert "create_run is broken" in caplog.text
    assert "set_terminated is broken" in caplog.text
    # The next one ends what could not be ended, and has a run of its own.
    LinearRegression().fit(X, Y)
    found = fluent.search_runs([experiment])
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]


def test_silence_is_kept(fluent, monkeypatch, caplog):
    holdfast.sklearn.autolog(silent=True)
    with monkeypatch.context() as patch:
        full_of_faults(patch, fluent)
        patch.setattr(type(fluent), "create_run", _broken("create_run"))
        LinearRegression().fit(X, Y)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


AWAY = """
import sys, warnings
import holdfast
from sklearn.linear_model import LinearRegression
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True)
expected = LinearRegression().fit(X, y).coef_
holdfast.sklearn.autolog()
model = LinearRegression().fit(X, y)
assert (model.coef_ == expected).all()
print("unharmed")
"""


@pytest.mark.slow
def test_a_server_that_is_away_breaks_no_training_and_what_is_logged_waits_in_the_journal(journals, name):
    nobody = SimpleNamespace(uri="holdfast://127.0.0.1:9")
    assert logging_programs.run(AWAY, nobody, journals, HOLDFAST_EXPERIMENT_NAME=name) == ["unharmed"]
    (waiting,) = holdfast.sync(dry_run=True)
    assert waiting.uri == nobody.uri
    assert waiting.waiting >= 5
