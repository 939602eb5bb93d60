"""Knows estimators to which a table may be given as the array that they would make of it themselves.

scikit-learn takes several times as long to look at a DataFrame of a few rows as to predict from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["takes_arrays"]

_KINDS = {"classifier", "regressor", "clusterer", "outlier_detector"}
_METHODS = {"predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples"}


def takes_arrays(estimator: Any, method: str, columns: Sequence[Any], dtype: Any) -> bool:
    """Whether ``method`` gives the same for a table of numbers as for its values alone.

    That holds for what scikit-learn itself defines, where no other estimator inside could ask for columns by name, and
    where the columns are those of the training, in their order, which scikit-learn would check. It is tried besides.

    Args:
        estimator: Any model.
        method: What is called.
        columns: Of the tables, in order.
        dtype: Of all columns.
    """
    if method not in _METHODS or list(getattr(estimator, "feature_names_in_", ())) != list(columns):
        return False
    try:
        return _is_plain(estimator) and _gives_the_same(getattr(estimator, method), columns, dtype)
    except Exception:  # noqa: BLE001 - an old or odd scikit-learn, or zeros that it does not take
        return False


def _is_plain(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    return (
        type(estimator).__module__.startswith("sklearn.")
        # Others inside, such as the steps of a pipeline, show their parameters behind two underscores.
        and not any("__" in name for name in estimator.get_params(deep=True))
        and get_tags(estimator).estimator_type in _KINDS
        # Of histogram boosting, which looks at the columns' dtypes.
        and getattr(estimator, "_preprocessor", None) is None
    )


def _gives_the_same(method: Any, columns: Sequence[Any], dtype: Any) -> bool:
    values = np.zeros((2, len(columns)), dtype=dtype)
    values[1] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_name, by_place = method(pd.DataFrame(values, columns=pd.Index(columns))), method(values)
    return type(by_name) is type(by_place) is np.ndarray and bool(
        np.array_equal(by_name, by_place, equal_nan=by_name.dtype.kind == "f")
    )
