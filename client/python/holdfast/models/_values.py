"""Enforcement of nested types on single values: scalars, lists, dictionaries."""

from __future__ import annotations

import datetime as dt
import numbers
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models import _libraries
from holdfast.models.data_types import AnyType, Array, ColumnType, DataType, Map, Object

__all__ = ["enforce_value", "is_scalar"]


def is_scalar(value: Any) -> bool:
    """Return whether ``value`` is one number, text, time or missing value."""
    if value is None or isinstance(value, (numbers.Number, str, bytes, bytearray, dt.date)):
        return True
    return type(value).__module__ == "numpy" and not hasattr(value, "__len__") and not _libraries.is_ndarray(value)


def enforce_value(value: Any, kind: ColumnType, *, required: bool = True) -> Any:
    """Return ``value`` if it has type ``kind``; the value itself is never changed.

    Raises:
        InvalidArgumentError: It has not; the message says where inside of it.
    """
    if isinstance(kind, AnyType):
        return value
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN is a missing value here
        if not required:
            return None
        if not (isinstance(value, float) and kind in (DataType.float, DataType.double)):
            raise InvalidArgumentError(f"expected {kind!r}, got a missing value")
    if isinstance(kind, Array):
        return _enforce_array(value, kind, required=required)
    if isinstance(kind, Object):
        return _enforce_object(value, kind)
    if isinstance(kind, Map):
        return _enforce_map(value, kind, required=required)
    return _enforce_scalar(value, kind)


def _enforce_array(value: Any, kind: Array, *, required: bool) -> Any:
    if _libraries.is_ndarray(value):
        # Same rule as for lists; the array itself is what the model was trained on.
        _enforce_array(value.tolist() if value.dtype.kind not in "iufb" else list(value), kind, required=required)
        return value
    if not isinstance(value, list):
        raise InvalidArgumentError(f"expected a list, got {type(value).__name__}")
    return [_inside(f"[{position}]", item, kind.dtype, required=required) for position, item in enumerate(value)]


def _enforce_object(value: Any, kind: Object) -> Any:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"expected a dictionary, got {type(value).__name__}")
    known = {item.name: item for item in kind.properties}
    if missing := [item.name for item in kind.properties if item.required and item.name not in value]:
        raise InvalidArgumentError(f"the keys {missing} are missing")
    if unknown := [name for name in value if name not in known]:
        raise InvalidArgumentError(f"the keys {unknown} are not in the signature")
    return {
        name: _inside(f"[{name!r}]", item, known[name].dtype, required=known[name].required)
        for name, item in value.items()
    }


def _enforce_map(value: Any, kind: Map, *, required: bool) -> Any:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InvalidArgumentError(f"expected a dictionary with string keys, got {type(value).__name__}")
    return {name: _inside(f"[{name!r}]", item, kind.value_type, required=required) for name, item in value.items()}


def _inside(where: str, value: Any, kind: ColumnType, *, required: bool) -> Any:
    try:
        return enforce_value(value, kind, required=required)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: {error}") from error


_EXACT_INTEGERS = {DataType.float: 1 << 24, DataType.double: 1 << 53}
_WIDTHS = {DataType.integer: 1 << 31, DataType.long: 1 << 63}


def _enforce_scalar(value: Any, kind: DataType) -> Any:
    """Python's numbers carry no width, so they fit where their value does; numpy's have to fit by their dtype."""
    is_bool = isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")
    is_integer = isinstance(value, numbers.Integral) and not is_bool
    if kind is DataType.boolean:
        fits = is_bool
    elif kind in _WIDTHS:
        fits = is_integer and -_WIDTHS[kind] <= int(value) < _WIDTHS[kind]
    elif kind in _EXACT_INTEGERS:
        fits = (is_integer and abs(int(value)) <= _EXACT_INTEGERS[kind]) or _is_float(value, kind)
    elif kind is DataType.string:
        fits = isinstance(value, str)
    elif kind is DataType.binary:
        fits = isinstance(value, (bytes, bytearray, str))  # str is base64, as JSON carries it
    else:
        fits = isinstance(value, (dt.date, str)) or type(value).__name__ == "datetime64"
    if not fits:
        raise InvalidArgumentError(f"expected {kind!r}, got {value!r} of type {type(value).__name__}")
    return value


def _is_float(value: Any, kind: DataType) -> bool:
    if type(value) is float or kind is DataType.double:
        return isinstance(value, numbers.Real) and not isinstance(value, (bool, numbers.Integral))
    return type(value).__name__ in ("float16", "float32")
