"""Autologging logs what is trained: each training once, to the run that it belongs to."""

from __future__ import annotations

import contextlib
import threading

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor, VotingClassifier, VotingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.client.sklearn.autolog_estimators import Stubborn, X, Y

import holdfast
import holdfast.sklearn


@pytest.mark.usefixtures("quick")
def test_a_training_begins_and_ends_a_run_of_its_own(runs):
    DecisionTreeRegressor(max_depth=2).fit(X, Y)
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["max_depth"] == "2"
    assert run.data.tags["mlflow.autologging"] == "sklearn"
    assert "training_r2_score" in run.data.metrics
    assert holdfast.last_active_run().info.run_id == run.info.run_id


@pytest.mark.usefixtures("quick")
def test_a_training_in_a_run_logs_to_it_and_leaves_it_active(runs):
    with holdfast.start_run() as outer:
        LinearRegression().fit(X, Y)
        assert holdfast.active_run() is outer
        holdfast.log_metric("after", 1)
    (run,) = runs()
    assert {"after", "training_score"} <= set(run.data.metrics)
    assert "mlflow.autologging" not in run.data.tags


def test_the_model_of_a_training_can_be_loaded_and_is_registered(runs, name):
    holdfast.sklearn.autolog(registered_model_name=name, serialization_format="pickle")
    model = DecisionTreeClassifier(max_depth=2).fit(X, Y)
    loaded = holdfast.sklearn.load_model(f"models:/{name}/1")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    (run,) = runs()
    assert len(run.outputs.model_outputs) == 1
    info = holdfast.models.get_model_info(f"models:/{name}/1")
    assert info.signature is not None
    assert info.flavors["sklearn"]["serialization_format"] == "pickle"


@pytest.mark.usefixtures("quick")
def test_an_estimator_of_the_user_s_own_is_logged_under_its_name(runs):
    Stubborn(lambda _self: None).fit(X, Y)
    (run,) = runs()
    assert run.data.tags["estimator_name"] == "Stubborn"


class Ending(LinearRegression):
    """An estimator whose own fit ends with scikit-learn's."""

    def fit(self, X, y=None):  # noqa: N803
        with contextlib.nullcontext():
            fitted = super().fit(X, y)
        return fitted  # noqa: RET504 - for its bytecode


class Continuing(Ending):
    """An estimator whose own fit goes on after scikit-learn's."""

    def fit(self, X, y=None):  # noqa: N803
        super().fit(X, y)
        self.offset_ = 1.0
        return self

    def predict(self, X):  # noqa: N803
        return super().predict(X) + self.offset_


@pytest.mark.filterwarnings("ignore:The model refers to the modules")
def test_a_model_is_logged_only_if_it_is_trained_to_the_end(runs, caplog):
    holdfast.sklearn.autolog()
    Ending().fit(X, Y)
    (ended,) = runs()
    assert len(ended.outputs.model_outputs) == 1
    assert caplog.text == ""
    Continuing().fit(X, Y)
    _, unfinished = runs()
    assert unfinished.outputs.model_outputs == []
    assert unfinished.data.metrics == {}
    assert unfinished.data.params["fit_intercept"] == "True"
    assert len(unfinished.inputs.dataset_inputs) == 1
    assert "Continuing.fit goes on" in caplog.text
    caplog.clear()
    make_pipeline(Continuing()).fit(X, Y)
    *_, piped = runs()
    assert len(piped.outputs.model_outputs) == 1
    assert caplog.text == ""


def test_an_exclusive_autologging_leaves_runs_of_the_user_alone(runs):
    holdfast.sklearn.autolog(log_models=False, exclusive=True)
    with holdfast.start_run():
        make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y)
    LinearRegression().fit(X, Y)
    user, own = runs()
    assert user.data.params == {}
    assert own.data.params["fit_intercept"] == "True"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("parallel", [{}, {"n_jobs": 2}], ids=["here", "in threads"])
def test_nested_estimators_are_not_logged_by_themselves(runs, parallel):
    with joblib.parallel_config(backend="threading"):
        VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())], **parallel).fit(X, Y)
        GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2, **parallel).fit(X, Y)
    found = [run for run in runs() if "mlflow.parentRunId" not in run.data.tags]
    assert [run.data.tags["estimator_name"] for run in found] == ["VotingClassifier", "GridSearchCV"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("parallel", [None, 2])
def test_folds_of_a_cross_validation_are_not_logged(runs, parallel):
    # Imported before autologging was turned on.
    with joblib.parallel_config(backend="threading"):
        cross_val_score(DecisionTreeClassifier(), X, Y, cv=2, n_jobs=parallel)
        cross_val_score(VotingClassifier([("a", GaussianNB()), ("b", GaussianNB())], n_jobs=2), X, Y, cv=2)
    assert runs() == []


@pytest.mark.usefixtures("quick")
def test_two_threads_that_train_at_once_have_a_run_each(runs):
    both = threading.Barrier(2, timeout=120)

    def train():
        make_pipeline(Stubborn(lambda _self: both.wait())).fit(X, Y)

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.info.status for run in runs()] == ["FINISHED", "FINISHED"]
    assert all("training_score" in run.data.metrics for run in runs())


@pytest.mark.usefixtures("quick")
def test_threads_of_a_run_log_to_it(runs):
    with holdfast.start_run():
        thread = threading.Thread(target=lambda: LinearRegression().fit(X, Y))
        thread.start()
        thread.join()
    (run,) = runs()
    assert "training_score" in run.data.metrics


class Committee(LinearRegression):
    """An estimator that trains others in threads of joblib's, by no means of scikit-learn's."""

    def predict(self, X):  # noqa: N803
        fit = joblib.delayed(LinearRegression().fit)
        members = joblib.Parallel(n_jobs=2, backend="threading", pre_dispatch=2)(fit(X, Y) for _ in range(5))
        return sum(member.coef_ for member in members) @ X.T


@pytest.mark.usefixtures("quick")
def test_trainings_in_the_user_s_joblib_threads_have_a_run_each_and_their_parts_none(runs):
    both = threading.Barrier(2, timeout=120)

    def train(depth):
        both.wait()
        return RandomForestRegressor(2, max_depth=depth, n_jobs=2).fit(X, Y)

    joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(train)(depth) for depth in range(1, 5))
    assert sorted(run.data.params["max_depth"] for run in runs()) == ["1", "2", "3", "4"]


@pytest.mark.usefixtures("quick")
def test_what_an_estimator_trains_in_joblib_threads_is_a_part_of_it(runs):
    make_pipeline(Committee()).fit(X, Y)
    (run,) = runs()
    assert "training_r2_score" in run.data.metrics
    with joblib.parallel_config(backend="loky", n_jobs=2):
        VotingRegressor([("a", LinearRegression()), ("b", DecisionTreeRegressor())], n_jobs=2).fit(X, Y)
    assert len(runs()) == 2
