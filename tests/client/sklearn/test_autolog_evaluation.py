"""Metrics of what a trained model predicts go to its run."""

from __future__ import annotations

import gc

import pytest
from sklearn import metrics
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from tests.client.sklearn.autolog_estimators import X, Y

import holdfast
import holdfast.sklearn
from holdfast._autologging.switch import switch


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
