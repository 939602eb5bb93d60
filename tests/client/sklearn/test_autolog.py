"""Autologging sees what is trained, and nobody sees autologging."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import io
import logging
import pickle
import sys
import threading
import weakref
from types import SimpleNamespace

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from sklearn import base, metrics
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators
from tests.client import logging_programs

import holdfast
import holdfast.sklearn
from holdfast import _active_run
from holdfast._autologging.estimators import FITTING, PREDICTING
from holdfast._autologging.switch import switch
from holdfast.errors import InvalidArgumentError

X, Y = load_iris(return_X_y=True)
METHODS = (*FITTING, *PREDICTING, "score")


class Stubborn(LinearRegression):
    """An estimator of the user's own, which does what it is told."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour
        super().__init__()

    def fit(self, X, y=None):  # noqa: N803
        self.behaviour(self)
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def _off(fluent):
    yield
    holdfast.sklearn.autolog(disable=True)
    # For the next test nothing has been chosen.
    switch._chosen_by_itself = False
    assert holdfast.active_run() is None


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


def raise_(error):
    def act(_self):
        raise error

    return act


# What is logged, and where


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


# Only what is outermost


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
    both = threading.Barrier(2, timeout=60)

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
    both = threading.Barrier(2, timeout=60)

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


# Nobody sees it


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


# Failures of logging


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


# What cannot be logged as it is


def test_an_estimator_that_cannot_be_pickled_is_told_of_and_the_rest_is_logged(runs, caplog):
    holdfast.sklearn.autolog(serialization_format="pickle")
    make_pipeline(FunctionTransformer(lambda x: x), LinearRegression()).fit(X, Y)
    (run,) = runs()
    assert run.outputs.model_outputs == []
    assert "training_r2_score" in run.data.metrics
    assert "pickle" in caplog.text


@pytest.mark.usefixtures("quick")
def test_params_that_a_run_cannot_have_are_told_of(runs, caplog):
    long = FunctionTransformer(kw_args={"text": "x" * 7_000}, func=len_of)
    Pipeline([("odd(name)", StandardScaler()), ("long", long), ("model", LinearRegression())]).fit(X, Y)
    (run,) = runs()
    assert run.data.params["model__fit_intercept"] == "True"
    assert not [key for key in run.data.params if "odd" in key]
    assert len(run.data.params["long__kw_args"]) == 6_000
    assert run.data.params["long__kw_args"].endswith("...")
    assert "odd(name)" in caplog.text
    assert "5997 are logged" in caplog.text


def len_of(samples, text):
    return samples


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("count", [20, 21])
def test_roc_auc_is_of_so_many_classes_that_it_takes_no_time(runs, caplog, count):
    targets = np.arange(len(X)) % count
    GaussianNB().fit(X, targets)
    (run,) = runs()
    assert "training_log_loss" in run.data.metrics
    assert ("training_roc_auc" in run.data.metrics) is (count == 20)
    assert ("roc_auc is left out, since it takes long with 21 classes" in caplog.text) is (count == 21)


@pytest.mark.usefixtures("quick")
def test_a_class_that_is_never_predicted_is_no_warning_of_logging(runs, recwarn):
    DummyClassifier().fit(X, Y)
    (run,) = runs()
    assert run.data.metrics["training_precision_score"] == pytest.approx(1 / 9)
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.usefixtures("quick")
def test_data_that_can_be_read_once_is_left_to_the_estimator(runs):
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    model.fit((word for word in ["good", "bad"] * 5), [1, 0] * 5)
    assert model.predict(["good"]) == [1]
    (run,) = runs()
    assert run.data.params["logisticregression__C"] == "1.0"


@pytest.mark.usefixtures("quick")
def test_metrics_are_of_the_data_that_was_given_even_if_training_changes_it(runs):
    samples = np.array(X)
    LinearRegression(copy_X=False).fit(samples, Y)
    (run,) = runs()
    holdfast.sklearn.autolog(disable=True)
    assert run.data.metrics["training_r2_score"] == pytest.approx(LinearRegression().fit(X, Y).score(X, Y))


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


# All libraries


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


# Evaluation


@pytest.mark.usefixtures("quick", "experiment")
def test_what_is_known_of_a_run_is_forgotten_with_its_last_model():
    kept = GaussianNB().fit(X, Y)
    for _ in range(3):
        GaussianNB().fit(X, Y)
    gc.collect()
    assert len(switch._evaluations._runs) == 1
    del kept
    gc.collect()
    assert len(switch._evaluations._runs) == 0


@pytest.mark.usefixtures("quick")
def test_metrics_of_a_prediction_are_named_after_the_data_and_numbered(runs):
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)
    X_test, y_test = X[::2], Y[::2]  # noqa: N806
    predicted = model.predict(X_test)
    metrics.accuracy_score(y_test, predicted)
    metrics.accuracy_score(y_test, y_pred=predicted, normalize=False)
    model.score(X_test, y_test)
    (run,) = runs()
    assert {"accuracy_score_X_test", "accuracy_score-2_X_test", "DecisionTreeClassifier_score_X_test"} <= set(
        run.data.metrics
    )
    commands = holdfast.artifacts.load_dict(f"runs:/{run.info.run_id}/metric_info.json")
    assert commands["accuracy_score-2_X_test"] == "accuracy_score(y_true=y_test, y_pred=predicted, normalize=False)"
    assert [tag.value for item in run.inputs.dataset_inputs for tag in item.tags] == ["train", "eval"]


@pytest.mark.usefixtures("quick")
def test_a_prediction_that_is_gone_is_not_taken_for_another():
    model = DecisionTreeClassifier().fit(X, Y)
    for _ in range(50):
        model.predict(X)
    assert len(switch._evaluations._predictions._values) <= 1


def test_every_run_of_a_test_has_ended():
    assert _active_run.active_run() is None
