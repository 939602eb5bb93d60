"""Which of scikit-learn's classes are algorithms whose trainings are logged, and what their methods are."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from types import ModuleType

FITTING = ("fit", "fit_transform", "fit_predict")
PREDICTING = ("predict", "predict_proba", "transform", "predict_log_proba")
SCORING = "score"

# Routines that prepare data: they are logged as parts of pipelines only.
_PREPARING = (
    "sklearn.preprocessing",
    "sklearn.impute",
    "sklearn.feature_extraction",
    "sklearn.feature_selection",
    "sklearn.compose._column_transformer",
)
# What all are made of, and what is not for users.
_INTERNAL = ("sklearn.base", "sklearn.utils", "sklearn.externals")


class Algorithms:
    """The classes whose trainings are logged, and those that inherit from them, such as the user's own."""

    def __init__(self) -> None:
        self._classes: weakref.WeakSet[type] = weakref.WeakSet()
        self._known: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()

    def add_from(self, module: ModuleType) -> list[type]:
        """Take the classes that a module of scikit-learn defines; returns them."""
        found = [value for value in list(vars(module).values()) if _is_algorithm(value, module)]
        for value in found:
            self._classes.add(value)
        return found

    def __contains__(self, kind: type) -> bool:
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = any(base in self._classes for base in kind.__mro__)
        return known


def _is_algorithm(value: object, module: ModuleType) -> bool:
    name = module.__name__
    if not inspect.isclass(value) or value.__module__ != name or value.__name__.startswith(("_", "Base")):
        return False
    if inspect.isabstract(value) or name.startswith((*_PREPARING, *_INTERNAL)) or ".tests" in name:
        return False
    from sklearn.base import BaseEstimator

    return issubclass(value, BaseEstimator)


def definers(kind: type, name: str) -> Iterator[type]:
    """The classes of scikit-learn that define a method which ``kind`` has, itself or by inheritance."""
    for base in kind.__mro__:
        if name in vars(base) and base.__module__.startswith("sklearn."):
            yield base
