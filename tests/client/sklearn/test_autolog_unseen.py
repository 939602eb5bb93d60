"""Nobody sees autologging: what estimators and metrics return, raise and look like stays what it was."""

from __future__ import annotations

import copy
import gc
import inspect
import io
import pickle
import weakref

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from sklearn import base, metrics
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from tests.client.sklearn.autolog_estimators import Stubborn, X, Y, raise_

import holdfast
import holdfast.sklearn
from holdfast._autologging.estimators import FITTING, PREDICTING
from holdfast._autologging.switch import switch

METHODS = (*FITTING, *PREDICTING, "score")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("error", "status"), [(KeyError("mine"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(3), "FAILED")]
)
def test_what_an_estimator_raises_is_raised(runs, error, status):
    with pytest.raises(type(error)) as raised:
        make_pipeline(Stubborn(raise_(error))).fit(X, Y)
    assert raised.value is error
    assert [run.info.status for run in runs()] == [status]


@pytest.mark.usefixtures("quick")
def test_what_methods_return_is_returned():
    plain = KMeans(2, n_init=1, random_state=0)
    model = LinearRegression()
    assert model.fit(X, Y) is model
    assert np.array_equal(KMeans(2, n_init=1, random_state=0).fit_predict(X), plain.fit(X).labels_)
    reduced = PCA(2).fit_transform(X)
    assert reduced.shape == (len(X), 2)
    assert metrics.accuracy_score(Y, Y) == 1.0


@pytest.mark.usefixtures("quick")
def test_a_missing_argument_is_the_estimator_s_own_error():
    with pytest.raises(TypeError, match=r"fit\(\) missing 1 required positional argument: 'y'"):
        LinearRegression().fit(X)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        LinearRegression().fit(X, Y, z=1)
    with pytest.raises(TypeError, match=r"fit\(\) missing"):
        LinearRegression.fit()


def looks():
    """What Python tells of all methods that are wrapped, and of how estimators behave when they lack them."""
    told = {}
    for _, kind in all_estimators():
        for name in METHODS:
            if hasattr(kind, name):
                method = getattr(kind, name)
                try:
                    signature = str(inspect.signature(method))
                except (TypeError, ValueError):
                    signature = ""
                told[kind.__name__, name] = (signature, getattr(method, "__doc__", ""), getattr(method, "__name__", ""))
                told[kind.__name__, name, "is a function"] = inspect.isfunction(method)
    return told


def test_estimators_look_as_they_did_and_turning_it_off_puts_back_what_was():
    before = {kind: dict(vars(kind)) for _, kind in all_estimators()}
    functions = dict(vars(metrics))
    threads = dict(vars(joblib.Parallel))
    expected = looks()
    holdfast.sklearn.autolog()
    assert DecisionTreeClassifier.fit is not before[DecisionTreeClassifier]["fit"]
    assert looks() == expected
    assert not hasattr(Pipeline([("scale", StandardScaler())]), "predict")
    assert hasattr(Pipeline([("tree", DecisionTreeClassifier())]), "predict")
    assert base.clone(DecisionTreeClassifier(max_depth=3)).get_params()["max_depth"] == 3
    holdfast.sklearn.autolog(disable=True)
    assert {kind: dict(vars(kind)) for _, kind in all_estimators()} == before
    assert dict(vars(metrics)) == functions
    assert dict(vars(joblib.Parallel)) == threads


@pytest.mark.usefixtures("quick")
def test_a_trained_estimator_holds_nothing_of_autologging_and_can_be_pickled():
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)
    holdfast.sklearn.autolog(disable=True)
    plain = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)
    assert set(vars(model)) == set(vars(plain))
    holdfast.sklearn.autolog(log_models=False)
    assert len(pickle.dumps(model)) == len(pickle.dumps(plain))
    assert pickle.loads(pickle.dumps(DecisionTreeClassifier.fit)) is DecisionTreeClassifier.fit
    assert np.array_equal(pickle.loads(pickle.dumps(model.predict))(X), plain.predict(X))
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    assert np.array_equal(joblib.load(file).predict(X), plain.predict(X))


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_functions_of_metrics_pickle_as_the_originals(pickler):
    originals = {
        name: getattr(metrics, name) for name in metrics.__all__ if not inspect.ismodule(getattr(metrics, name))
    }
    imported_before = metrics.f1_score
    holdfast.sklearn.autolog()
    wrapped = {name: getattr(metrics, name) for name in originals}
    assert wrapped["f1_score"] is not imported_before
    for turned_on in (True, False):
        holdfast.sklearn.autolog(disable=not turned_on)
        for name, original in originals.items():
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                dumped = pickler.dumps(wrapped[name], protocol=protocol)
                assert pickle.loads(dumped) is original, name
                # Where it is loaded there may be no such package.
                assert b"holdfast" not in dumped
    assert pickle.loads(pickler.dumps(imported_before)) is imported_before


def test_functions_of_metrics_look_as_they_did():
    originals = {name: getattr(metrics, name) for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    holdfast.sklearn.autolog()
    for name, original in originals.items():
        found = getattr(metrics, name)
        assert callable(found)
        assert str(inspect.signature(found)) == str(inspect.signature(original))
        assert (found.__name__, found.__doc__, found.__module__) == (name, original.__doc__, original.__module__)
        assert (repr(found), found.__code__) == (repr(original), original.__code__)
        assert copy.deepcopy(found) is found

    class Report:
        measure = metrics.accuracy_score

    assert Report().measure.__self__.__class__ is Report
    with pytest.raises(ValueError, match="looks like it is a metric function"):
        metrics.check_scoring(GaussianNB(), scoring=metrics.accuracy_score)


@pytest.mark.usefixtures("quick", "experiment")
def test_a_search_by_a_scorer_of_one_s_own_works_in_other_processes():
    scorer = metrics.make_scorer(metrics.f1_score, average="macro")
    scorers = {"made": scorer, "called": calls_a_metric, "named": "accuracy"}
    with joblib.parallel_config(backend="loky"):
        search = GridSearchCV(
            GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, scoring=scorers, refit="made", cv=2, n_jobs=2
        )
        search.fit(X, Y)
    assert pickle.loads(pickle.dumps(search)).best_score_ == search.best_score_ > 0.9


def calls_a_metric(estimator, samples, targets):
    return metrics.f1_score(targets, estimator.predict(samples), average="macro")


def test_a_scorer_of_one_s_own_is_stored_by_skops_as_ever():
    expected = skops.io.get_untrusted_types(data=skops.io.dumps(metrics.make_scorer(metrics.f1_score)))
    holdfast.sklearn.autolog()
    stored = skops.io.dumps(metrics.make_scorer(score_func=metrics.f1_score))
    assert skops.io.get_untrusted_types(data=stored) == expected


def test_a_model_lives_no_longer_for_being_watched(experiment):
    holdfast.sklearn.autolog(log_models=False)
    model = DecisionTreeClassifier().fit(X, Y)
    predicted = model.predict(X)
    gone = [weakref.ref(model), weakref.ref(predicted)]
    del model, predicted
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_turning_it_off_holds_for_names_that_were_bound_before(runs):
    holdfast.sklearn.autolog(log_models=False)
    fit = DecisionTreeClassifier.fit
    holdfast.sklearn.autolog(disable=True)
    fit(DecisionTreeClassifier(), X, Y)
    assert runs() == []


def test_the_classes_that_are_logged_are_those_that_mlflow_logs():
    holdfast.sklearn.autolog()
    prepared = ("sklearn.preprocessing", "sklearn.impute", "sklearn.feature_extraction", "sklearn.feature_selection")
    expected = {
        kind
        for name, kind in all_estimators()
        if not kind.__module__.startswith(prepared) and name != "ColumnTransformer"
    }
    assert set(switch._algorithms._classes) == expected
    assert StandardScaler not in switch._algorithms
