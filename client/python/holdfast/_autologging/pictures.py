"""Pictures of classifiers, drawn beside pyplot, which is the user's and knows no threads."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from typing import Any

from holdfast._autologging.arguments import TrainingData
from holdfast._autologging.measures import PREFIX
from holdfast._autologging.steps import Steps

_DPI = 120
_SIZE = (6.0, 4.0)
# Each pair of classes is a text, each class a label: of more nobody could read them, and drawing would take minutes.
MAX_CLASSES_WITH_VALUES = 20
MAX_CLASSES = 100


def pictures_of_training(estimator: Any, data: TrainingData, steps: Steps) -> Iterator[tuple[str, bytes]]:
    """PNG files by name: the confusion matrix of a classifier, and of one with two classes the curves of its scores.

    None without matplotlib.
    """
    from sklearn.base import is_classifier

    if data.targets is None or not is_classifier(estimator) or importlib.util.find_spec("matplotlib") is None:
        return
    from sklearn import metrics

    given = {"estimator": estimator, "X": data.samples, "y": data.targets, "sample_weight": data.weights}
    classes = list(getattr(estimator, "classes_", ()))
    kinds: list[tuple[str, str, Callable[[Any], Any]]] = []
    if len(classes) <= MAX_CLASSES:
        matrix = {"normalize": "true", "cmap": "Blues", "include_values": len(classes) <= MAX_CLASSES_WITH_VALUES}
        kinds.append(
            (
                "confusion_matrix",
                "Normalized confusion matrix",
                lambda axes: metrics.ConfusionMatrixDisplay.from_estimator(**given, **matrix, ax=axes),
            )
        )
    if len(classes) == 2:
        kinds += [
            ("roc_curve", "ROC curve", lambda axes: metrics.RocCurveDisplay.from_estimator(**given, ax=axes)),
            (
                "precision_recall_curve",
                "Precision recall curve",
                lambda axes: metrics.PrecisionRecallDisplay.from_estimator(**given, ax=axes),
            ),
        ]
    for name, title, draw in kinds:
        with steps.step(f"The picture {PREFIX}{name}.png"):
            yield f"{PREFIX}{name}.png", _png(title, draw)


def _png(title: str, draw: Callable[[Any], Any]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
