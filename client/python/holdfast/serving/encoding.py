"""Writes predictions as the JSON that MLflow 3.17's scoring server answers with."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import numpy as np
import pandas as pd

from holdfast.models import _libraries
from holdfast.serving.errors import ServingError

__all__ = ["encode"]


def encode(predictions: Any, *, unwrapped: bool = False) -> bytes:
    """Return ``{"predictions": …}``, or the predictions alone.

    DataFrames and Series become a list of rows, arrays nested lists. NaN stays ``NaN``, as MLflow and Python's own json
    write it.

    Raises:
        ServingError: They hold what JSON has no form for.
    """
    plain = _plain(predictions)
    try:
        return json.dumps(plain if unwrapped else {"predictions": plain}, default=_convert).encode("utf-8")
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError) as error:
        raise ServingError(
            ServingError.INTERNAL,
            f"The model's answer, a {type(predictions).__name__}, cannot be written as JSON: {error}.",
        ) from error


def _plain(data: Any) -> Any:
    if isinstance(data, np.ndarray):
        return data.tolist()
    if _libraries.is_sparse(data):
        return data.toarray().tolist()
    if isinstance(data, pd.Series):
        data = pd.DataFrame(data)
    if isinstance(data, pd.DataFrame):
        return data.to_dict(orient="records")
    return data


def _convert(value: Any) -> Any:  # noqa: PLR0911 - one case for each type
    """What the json module does not know: bytes as base64 with line breaks, times as ISO 8601."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.datetime64):
        return np.datetime_as_string(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bytes, bytearray)):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if value is pd.NA:
        return None
    if hasattr(value, "model_dump"):  # pydantic's models
        return value.model_dump()
    raise TypeError(f"a {type(value).__name__} has no JSON form")
