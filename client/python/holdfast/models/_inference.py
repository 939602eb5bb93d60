"""Inference of schemas from data, by MLflow 3's rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models import _libraries
from holdfast.models._warn import warn
from holdfast.models.data_types import AnyType, Array, ColumnType, DataType, Object, Property, merge
from holdfast.models.params import ParamSchema, ParamSpec
from holdfast.models.schema import ColSpec, Schema, TensorSpec

__all__ = ["infer_param_schema", "infer_schema", "infer_schema_or_any"]


def infer_schema_or_any(data: Any, what: str) -> Schema:
    """Return `infer_schema`, or one column of type ``any`` and a warning where that finds no type.

    Args:
        data: What to look at.
        what: ``"inputs"`` or ``"outputs"``, for the warning.
    """
    try:
        return infer_schema(data)
    except Exception as error:  # noqa: BLE001 - whatever a foreign type raises, it has no schema
        warn(
            f"The {what} have no schema that a signature can express, so they are recorded as 'any' and will not be "
            f"checked: {error}"
        )
        return Schema([ColSpec(AnyType())])


def infer_schema(data: Any) -> Schema:  # noqa: PLR0911 - one case for each kind of data
    """Infer the schema of ``data``.

    Raises:
        InvalidArgumentError: Some of it has no type, or one column mixes types.
    """
    if isinstance(data, list):
        return _list_schema(data)
    if isinstance(data, dict):
        return _dict_schema(data)
    if _libraries.is_series(data):
        return Schema([ColSpec(_series_type(data), data.name, required=_has_no_missing(data))])
    if _libraries.is_dataframe(data):
        columns = [(name, data[name]) for name in data.columns]
        return Schema([ColSpec(_series_type(col), name, required=_has_no_missing(col)) for name, col in columns])
    if _libraries.is_ndarray(data):
        return Schema([_tensor(data, data.dtype)])
    if _libraries.is_sparse(data):
        return Schema([_tensor(data, data.dtype)])
    return Schema([ColSpec(_known(_value_type(data)))])


def infer_param_schema(params: Any) -> ParamSchema:
    """Infer the schema of prediction parameters; their values become the defaults.

    Raises:
        InvalidArgumentError: It is no dictionary, or a value is neither scalar, flat list nor dictionary.
    """
    if not isinstance(params, dict):
        raise InvalidArgumentError(f"Parameters must be a dictionary, not {type(params).__name__}.")
    specs = []
    for name, value in params.items():
        dtype, shape = _param_type(name, value)
        specs.append(ParamSpec(name, dtype, deepcopy(value), shape))
    return ParamSchema(specs)


def _list_schema(data: list[Any]) -> Schema:
    if not data:
        return Schema([ColSpec(DataType.string)])  # what MLflow has always recorded for an empty list
    if not all(isinstance(row, dict) for row in data):
        return Schema([ColSpec(_item_type(data))])
    columns: dict[Any, list[Any]] = {}
    for row in data:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return Schema(
        [
            ColSpec(_item_type(values), name, required=all(row.get(name) is not None for row in data))
            for name, values in columns.items()
        ]
    )


def _dict_schema(data: dict[Any, Any]) -> Schema:
    if all(_libraries.is_ndarray(value) for value in data.values()):
        return Schema([_tensor(value, value.dtype, name) for name, value in data.items()])
    if not all(isinstance(name, str) for name in data):
        raise InvalidArgumentError(f"Columns are named by strings, got the keys {list(data)}.")
    return Schema(
        [ColSpec(_known(_value_type(value)), name, required=_is_given(value)) for name, value in data.items()]
    )


def _is_given(value: Any) -> bool:
    return _has_no_missing(value) if isinstance(value, list) or _libraries.is_series(value) else not _is_missing(value)


def _tensor(data: Any, dtype: Any, name: str | None = None) -> TensorSpec:
    if not data.shape:
        raise InvalidArgumentError("an array without dimensions is no tensor; pass the scalar itself")
    # Text of any length has one dtype: the longest item of an example says nothing about the next.
    text = {"U": "str", "S": "bytes"}.get(dtype.char)
    return TensorSpec(text or dtype.name, (-1, *data.shape[1:]), name)


def _series_type(column: Any) -> ColumnType:
    if column.ndim != 1:  # a name used twice gives a DataFrame
        raise InvalidArgumentError(
            f"a column must have one dimension, not shape {column.shape}; each name may be used once"
        )
    if column.dtype.kind == "O":
        column = column.infer_objects()
    if column.dtype.kind != "O":
        return _dtype_type(column.dtype)
    import pandas as pd

    try:
        return _item_type(column.to_list())
    except InvalidArgumentError as error:
        if pd.api.types.is_string_dtype(column):
            return DataType.string
        raise InvalidArgumentError(f"column {column.name!r}: {error}") from error


def _dtype_type(dtype: Any) -> DataType:
    """Type of a numpy dtype or pandas extension dtype."""
    kind, size = dtype.kind, dtype.itemsize
    if kind in "iu":
        if size < 4 or (kind == "i" and size == 4):
            return DataType.integer
        if size < 8 or (kind == "i" and size == 8):
            return DataType.long
    elif kind == "f" and size <= 8:
        return DataType.float if size <= 4 else DataType.double
    elif kind in _KINDS:
        return _KINDS[kind]
    raise InvalidArgumentError(f"a signature has no type for dtype {dtype}")


_KINDS = {"b": DataType.boolean, "U": DataType.string, "S": DataType.binary, "M": DataType.datetime}

# Exact types: a subclass (an enum, say) may serialise as something else.
_SCALARS = {
    ("builtins", "bool"): DataType.boolean,
    ("builtins", "int"): DataType.long,
    ("builtins", "float"): DataType.double,
    ("builtins", "str"): DataType.string,
    ("builtins", "bytes"): DataType.binary,
    ("builtins", "bytearray"): DataType.binary,
    ("builtins", "object"): DataType.string,
    ("numpy", "bool"): DataType.boolean,
    ("numpy", "bool_"): DataType.boolean,
    ("numpy", "int64"): DataType.long,
    ("numpy", "int32"): DataType.integer,
    ("numpy", "float64"): DataType.double,
    ("numpy", "float32"): DataType.float,
    ("numpy", "str_"): DataType.string,
    ("numpy", "bytes_"): DataType.binary,
    ("numpy", "datetime64"): DataType.datetime,
    ("datetime", "date"): DataType.datetime,
    ("datetime", "datetime"): DataType.datetime,
}


def _value_type(value: Any) -> ColumnType | None:
    """Type of one value; None for an empty array, of which nothing is known."""
    if _is_missing(value) or (isinstance(value, (list, dict)) and not value):
        return AnyType()
    if isinstance(value, dict):
        types = {name: _known(_value_type(item)) for name, item in value.items()}
        return Object([Property(name, kind, required=not isinstance(kind, AnyType)) for name, kind in types.items()])
    if isinstance(value, list) or _libraries.is_ndarray(value):
        return _array_type(value)
    kind = _SCALARS.get((type(value).__module__, type(value).__name__))
    if kind is None:
        raise InvalidArgumentError(f"a signature has no type for {value!r} of type {type(value).__name__}")
    return kind


def _array_type(items: Iterable[Any]) -> Array | None:
    result: ColumnType | None = None
    for item in items:
        kind = _value_type(item)
        if kind is None:
            continue
        result = kind if result is None else merge(result, kind)
    return None if result is None else Array(result)


def _item_type(items: list[Any]) -> ColumnType:
    """Type that all ``items`` share."""
    kind = _known(_array_type(items))
    assert isinstance(kind, Array)
    return kind.dtype


def _known(kind: ColumnType | None) -> ColumnType:
    if kind is None:
        raise InvalidArgumentError("an empty array tells nothing about its type; give at least one item")
    return kind


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - NaN, without importing math for numpy's subclasses of float
    return value is None or _libraries.is_pandas_missing(value)


def _has_no_missing(values: Iterable[Any]) -> bool:
    return not any(_is_missing(value) for value in values)


def _param_type(name: str, value: Any) -> tuple[DataType | Object, tuple[int, ...] | None]:
    import numpy as np

    moments = (dt.date, dt.datetime, np.datetime64)
    try:
        if isinstance(value, (list, np.ndarray)):
            if _depth(value) != 1:
                raise InvalidArgumentError(f"expected a flat list, got {_depth(value)} dimensions")  # noqa: TRY301
            if all(type(item) in moments for item in value):
                return DataType.datetime, (-1,)
            return _dtype_type(np.array(value).dtype), (-1,)
        if type(value) in moments:
            return DataType.datetime, None
        if isinstance(value, dict):
            kind = _known(_value_type(value))
            if isinstance(kind, Object):
                return kind, None
        elif np.isscalar(value):
            return _dtype_type(np.array(value).dtype), None
    except (InvalidArgumentError, ValueError) as error:
        raise InvalidArgumentError(f"Parameter {name!r} has no type: {error}.") from error
    raise InvalidArgumentError(
        f"Parameter {name!r} must be a scalar, a flat list or a dictionary, not {type(value).__name__}."
    )


def _depth(value: Any) -> int:
    if _libraries.is_ndarray(value):
        return int(value.ndim)
    if isinstance(value, list):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0
