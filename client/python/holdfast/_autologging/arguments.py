"""What a training was given."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.models._libraries import is_dataframe, is_ndarray, is_series, is_sparse

EXAMPLE_ROWS = 5
_WEIGHT = "sample_weight"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data of a call of ``fit``.

    Attributes:
        samples: As the user passed them; None when they are of a kind that looking at could use up or change.
        targets: The same; None also when there are none.
        weights: Of the samples; None for none.
        example: A copy of the first samples, made before training.
    """

    samples: Any
    targets: Any
    weights: Any
    example: Any

    @classmethod
    def of_call(cls, estimator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TrainingData:
        """Look at the arguments of a fitting method of ``estimator``, which are those of its ``fit``."""
        names = list(inspect.signature(estimator.fit).parameters)
        samples, targets = (_argument(names, index, args, kwargs) for index in (0, 1))
        weights = _argument(names, names.index(_WEIGHT), args, kwargs) if _WEIGHT in names else None
        if not _is_kept(samples):
            return cls(None, None, None, None)
        if _changes_data(estimator):
            samples, targets = copy.deepcopy(samples), copy.deepcopy(targets)
        return cls(samples, targets, weights, copy.deepcopy(samples[:EXAMPLE_ROWS]))


def _argument(names: list[str], index: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if index < len(args):
        return args[index]
    return kwargs.get(names[index]) if index < len(names) else None


def _is_kept(samples: Any) -> bool:
    """Whether samples can be read as often as one likes, unlike those of a generator."""
    return (
        isinstance(samples, (list, tuple))
        or is_ndarray(samples)
        or is_dataframe(samples)
        or is_series(samples)
        or (is_sparse(samples) and hasattr(samples, "__getitem__"))
    )


def _changes_data(estimator: Any) -> bool:
    """Whether training may change the data in place, so that what is measured afterwards would be about other data.

    scikit-learn's estimators do so only where a parameter says that they need not copy; others might.
    """
    for key, value in estimator.get_params(deep=True).items():
        name = key.rpartition("__")[2]
        if name.startswith("copy") and value is False:
            return True
        if hasattr(value, "fit") and not type(value).__module__.startswith("sklearn."):
            return True
        if callable(value) and name in {"func", "inverse_func"}:
            return True
    return not type(estimator).__module__.startswith("sklearn.")
