"""Joins the inputs of several requests into one prediction, and takes the predictions apart again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from holdfast.models import _libraries
from holdfast.serving.frames import NumberRows

__all__ = ["join", "joining_key", "split"]


def joining_key(data: Any, params: dict[str, Any] | None) -> Hashable | None:
    """What requests have in common that can be predicted together; None for one that must be alone."""
    shape = _shape(data)
    return None if shape is None else (shape, repr(sorted(params.items())) if params else "")


def _shape(data: Any) -> Hashable | None:
    if isinstance(data, NumberRows):
        return "rows"
    if isinstance(data, pd.DataFrame):
        # An index of the caller's own may mean something to the model, and may not be unique over several.
        if type(data.index) is not pd.RangeIndex or not len(data):
            return None
        return ("frame", tuple(data.columns), tuple(map(str, data.dtypes)))
    if isinstance(data, np.ndarray):
        return ("array", str(data.dtype), data.shape[1:]) if data.ndim and len(data) else None
    if isinstance(data, dict) and data and all(isinstance(value, np.ndarray) and value.ndim for value in data.values()):
        lengths = {len(value) for value in data.values()}
        if len(lengths) == 1 and lengths != {0}:
            return ("arrays", tuple((name, str(value.dtype), value.shape[1:]) for name, value in sorted(data.items())))
    return None


def row_count(data: Any) -> int:
    """Rows of what has a key."""
    return len(next(iter(data.values()))) if isinstance(data, dict) else len(data)


def join(parts: Sequence[Any]) -> Any:
    """One input of several with the same key."""
    first = parts[0]
    if isinstance(first, NumberRows):
        return NumberRows(np.concatenate([part.values for part in parts]), first.columns)
    if isinstance(first, pd.DataFrame):
        return pd.concat(parts, ignore_index=True)
    if isinstance(first, dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in first}
    return np.concatenate(parts)


def split(predictions: Any, counts: Sequence[int]) -> list[Any] | None:
    """The predictions of each part; None when there is not one for each row, so that nobody knows whose they are."""
    total = sum(counts)
    bounds = np.cumsum([0, *counts]).tolist()
    ranges = list(pairwise(bounds))
    if isinstance(predictions, (pd.DataFrame, pd.Series)):
        if len(predictions) != total:
            return None
        return [predictions.iloc[begin:end].reset_index(drop=True) for begin, end in ranges]
    if isinstance(predictions, np.ndarray) or _libraries.is_sparse(predictions):
        rows = predictions.shape[0] if predictions.ndim else -1
        return [predictions[begin:end] for begin, end in ranges] if rows == total else None
    if isinstance(predictions, list):
        return [predictions[begin:end] for begin, end in ranges] if len(predictions) == total else None
    return None
