"""Tells numpy, pandas and scipy values apart without importing those libraries.

A value can only be a DataFrame if somebody has imported pandas already, so ``sys.modules`` answers.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_dataframe", "is_ndarray", "is_pandas_missing", "is_series", "is_sparse", "sparse_format"]


def is_ndarray(value: Any) -> bool:
    """Return whether ``value`` is a numpy array."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_dataframe(value: Any) -> bool:
    """Return whether ``value`` is a pandas DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_series(value: Any) -> bool:
    """Return whether ``value`` is a pandas Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.Series)


def is_pandas_missing(value: Any) -> bool:
    """Return whether ``value`` is pandas' ``NA`` or ``NaT``."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def is_sparse(value: Any) -> bool:
    """Return whether ``value`` is a scipy sparse matrix or array, of any format."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))


def sparse_format(value: Any) -> str:
    """Return ``"csr"``, ``"csc"`` and so on, or an empty string for what is not sparse."""
    return str(value.format) if is_sparse(value) else ""
