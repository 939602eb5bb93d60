"""What cannot be logged as it is, is told of, and the rest is logged."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.client.sklearn.autolog_estimators import X, Y

import holdfast
import holdfast.sklearn


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
