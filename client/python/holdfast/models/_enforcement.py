"""Enforcement of a signature on the data and parameters given to a model, by MLflow 3's rules."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models import _libraries
from holdfast.models._columns import convert_column
from holdfast.models._tensors import enforce_tensors
from holdfast.models._values import enforce_value, is_scalar
from holdfast.models.data_types import Array, DataType, Map, Object
from holdfast.models.params import ParamSchema
from holdfast.models.schema import ColSpec, Schema

__all__ = ["enforce_input", "enforce_params"]

_logger = logging.getLogger("holdfast.models")


def enforce_input(data: Any, schema: Schema) -> Any:
    """Return ``data`` as the schema describes it.

    Columns come out in the schema's order, those it does not name are dropped, and integers and floats are widened
    where no value can change. Tensors keep their dtype: it has to match.

    Returns:
        A DataFrame for columns; an array, sparse matrix or dictionary of arrays for tensors.

    Raises:
        InvalidArgumentError: An input is missing, or does not have the type or shape that the schema names.
    """
    if schema.is_tensor_spec():
        return enforce_tensors(data, schema)
    frame = _as_frame(data, schema)
    return _named_columns(frame, schema) if schema.has_input_names() else _unnamed_columns(frame, schema)


def enforce_params(params: Any, schema: ParamSchema | None) -> dict[str, Any]:
    """Return the parameters that the schema names, defaults filled in; others are dropped with a log line.

    Raises:
        InvalidArgumentError: ``params`` is no dictionary, or a value does not have its parameter's type.
    """
    if params is not None and not isinstance(params, dict):
        raise InvalidArgumentError(f"params must be a dictionary, not {type(params).__name__}.")
    given = {str(name): value for name, value in (params or {}).items()}
    known = {item.name: item for item in schema or ()}
    if unknown := sorted(given.keys() - known.keys()):
        _logger.warning(
            "The model's signature has no parameters %s; they are ignored. It has: %s", unknown, sorted(known) or "none"
        )
    return {name: item.convert(given[name]) if name in given else item.default for name, item in known.items()}


def _as_frame(data: Any, schema: Schema) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise InvalidArgumentError(
            "This model's signature has columns, which needs pandas: pip install pandas, or log the model with "
            "arrays as its input example."
        ) from error

    if isinstance(data, pd.DataFrame):
        return data
    try:
        if isinstance(data, pd.Series):
            return data.to_frame()
        if isinstance(data, Mapping):
            return pd.DataFrame([data]) if _is_one_row(data, schema) else pd.DataFrame(_flat_cells(data))
        if isinstance(data, list) or _libraries.is_ndarray(data):
            return pd.DataFrame(data)
        if data is not None and is_scalar(data):
            return pd.DataFrame([data])
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"The model's signature has columns, and this {type(data).__name__} is no table: {error}."
        ) from error
    raise InvalidArgumentError(
        f"The model's signature has columns, so give a DataFrame, Series, dictionary, list or array, "
        f"not {type(data).__name__}."
    )


def _is_one_row(data: Mapping[str, Any], schema: Schema) -> bool:
    """Whether a dictionary is one row (as when the signature was inferred from one) or a dictionary of columns."""
    nested = any(isinstance(item.type, (Array, Object, Map)) for item in schema)
    return nested or all(is_scalar(value) for value in data.values())


def _flat_cells(data: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of several dimensions as lists, which pandas takes as cells."""
    return {name: value.tolist() if getattr(value, "ndim", 1) > 1 else value for name, value in data.items()}


def _named_columns(frame: Any, schema: Schema) -> Any:
    import pandas as pd

    present = list(frame.columns)
    missing = [name for name in schema.required_input_names() if name not in present]
    names = schema.input_names()
    extra = [name for name in present if name not in names]
    if missing:
        hint = f" It has columns that the model does not take: {extra}." if extra else ""
        raise InvalidArgumentError(
            f"The input lacks the columns {missing}, which the model's signature requires.{hint}"
        )
    if extra:
        _logger.warning("The model's signature does not name the columns %s; they are ignored.", extra)
    columns = {item.name: _column(item.name, frame[item.name], item) for item in schema if item.name in present}
    return pd.DataFrame(columns, index=frame.index)


def _unnamed_columns(frame: Any, schema: Schema) -> Any:
    import pandas as pd

    if len(frame.columns) < len(schema):
        raise InvalidArgumentError(
            f"The model's signature has {len(schema)} columns, and the input has {len(frame.columns)}."
        )
    columns = {
        name: _column(name, frame[name], item) for name, item in zip(frame.columns[: len(schema)], schema, strict=True)
    }
    return pd.DataFrame(columns, index=frame.index)


def _column(name: Any, column: Any, spec: Any) -> Any:
    import pandas as pd

    assert isinstance(spec, ColSpec)
    if column.ndim != 1:
        raise InvalidArgumentError(f"The input has several columns named {name!r}; each may occur once.")
    if isinstance(spec.type, DataType):
        return convert_column(name, column, spec.type)
    try:
        cells = [enforce_value(cell, spec.type, required=spec.required) for cell in column]
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"Column {name!r}: {error}") from error
    return pd.Series(cells, index=column.index, name=name)
