"""How well an estimator does on the data that it was trained with, by the names and rules of MLflow."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

from holdfast._autologging.arguments import TrainingData
from holdfast._autologging.steps import Steps

PREFIX = "training_"
# ROC AUC compares each class with each other one: of 200 classes that takes more than a minute.
MAX_CLASSES_OF_ROC_AUC = 20
_Measures = Iterator[tuple[str, Callable[[], Any]]]


def training_metrics(estimator: Any, data: TrainingData, pos_label: Any, steps: Steps) -> dict[str, float]:
    """Metrics of a classifier or regressor, and the score of whatever has one; what cannot be measured is told.

    Without targets there are none.
    """
    if data.targets is None:
        return {}
    from sklearn.base import is_classifier, is_regressor

    found: dict[str, float] = {}
    if is_classifier(estimator):
        _measure(found, _of_classifier(estimator, data, pos_label, steps), steps)
    elif is_regressor(estimator):
        _measure(found, _of_regressor(estimator, data), steps)
        if f"{PREFIX}mean_squared_error" in found:
            found[f"{PREFIX}root_mean_squared_error"] = math.sqrt(found[f"{PREFIX}mean_squared_error"])
    if hasattr(estimator, "score"):
        _measure(found, iter([("score", lambda: _score(estimator, data))]), steps)
    return found


def _measure(found: dict[str, float], measures: _Measures, steps: Steps) -> None:
    """Take measures one by one, into ``found``."""
    with steps.step("Metrics of training"):
        for name, measure in measures:
            with steps.step(f"The metric {PREFIX}{name}"):
                found[PREFIX + name] = float(measure())


def _of_classifier(estimator: Any, data: TrainingData, pos_label: Any, steps: Steps) -> _Measures:
    """Measures of classes, averaged by their weight unless a positive label is named, and of probabilities."""
    from sklearn import metrics

    # By position: scikit-learn renames the names of scores and probabilities.
    targets, predicted, weights = data.targets, estimator.predict(data.samples), data.weights
    average = "weighted" if pos_label is None else "binary"
    # A class that is never predicted counts 0, as by default, but without a warning of what the user did not ask for.
    options = {"average": average, "pos_label": pos_label, "sample_weight": weights, "zero_division": 0.0}
    yield "precision_score", lambda: metrics.precision_score(targets, predicted, **options)
    yield "recall_score", lambda: metrics.recall_score(targets, predicted, **options)
    yield "f1_score", lambda: metrics.f1_score(targets, predicted, **options)
    yield "accuracy_score", lambda: metrics.accuracy_score(targets, predicted, sample_weight=weights)
    if hasattr(estimator, "predict_proba"):
        likely = estimator.predict_proba(data.samples)
        yield "log_loss", lambda: metrics.log_loss(targets, likely, sample_weight=weights)
        classes = len(getattr(estimator, "classes_", ()))
        if classes > MAX_CLASSES_OF_ROC_AUC:
            steps.warn(
                f"The metric {PREFIX}roc_auc is left out, since it takes long with {classes} classes; "
                f"it is measured of {MAX_CLASSES_OF_ROC_AUC} at most."
            )
            return
        # Of two classes the greater one's probability.
        scores = likely[:, 1] if len(likely[0]) == 2 else likely
        ranking = {"average": "weighted", "multi_class": "ovo", "sample_weight": weights}
        yield "roc_auc", lambda: metrics.roc_auc_score(targets, scores, **ranking)


def _of_regressor(estimator: Any, data: TrainingData) -> _Measures:
    from sklearn import metrics

    targets, predicted, weights = data.targets, estimator.predict(data.samples), data.weights
    yield "mean_squared_error", lambda: metrics.mean_squared_error(targets, predicted, sample_weight=weights)
    yield "mean_absolute_error", lambda: metrics.mean_absolute_error(targets, predicted, sample_weight=weights)
    yield "r2_score", lambda: metrics.r2_score(targets, predicted, sample_weight=weights)


def _score(estimator: Any, data: TrainingData) -> Any:
    weighted = "sample_weight" in inspect.signature(estimator.score).parameters
    given = (data.samples, data.targets, data.weights) if weighted else (data.samples, data.targets)
    return estimator.score(*given)
