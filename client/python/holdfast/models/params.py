"""Parameters that a model takes at prediction time."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models.data_types import ColumnType, DataType, Object, as_column_type, column_type_from_dict
from holdfast.models.schema import load_json_list

__all__ = ["ParamSchema", "ParamSpec"]


class ParamSpec:
    """Name, type and default of one parameter; shape ``(-1,)`` is a list, ``None`` a single value."""

    def __init__(
        self, name: str, dtype: DataType | Object | str, default: Any, shape: Sequence[int] | None = None
    ) -> None:
        self.name = str(name)
        self.dtype = as_column_type(dtype)
        self.shape = None if shape is None else tuple(shape)
        if not isinstance(self.dtype, (DataType, Object)) or self.dtype is DataType.binary:
            raise InvalidArgumentError(
                f"Parameter {self.name!r} has type {self.dtype!r}; "
                "a parameter is a scalar other than binary, or an object."
            )
        if self.shape not in (None, (-1,)):
            raise InvalidArgumentError(f"Parameter {self.name!r} has shape {shape}; it must be None or (-1,).")
        self.default = self.convert(default)

    def convert(self, value: Any) -> Any:
        """Return ``value`` as the Python type that the model gets.

        Integers become floats where a float is wanted; nothing else changes its type.

        Raises:
            InvalidArgumentError: The value does not have the type or shape of this parameter.
        """
        try:
            if self.shape is None:
                return _convert(value, self.dtype)
            if not _is_flat_list(value):
                raise InvalidArgumentError(f"expected a flat list, got {type(value).__name__}")  # noqa: TRY301
            return [_convert(item, self.dtype) for item in value]
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"Invalid value for parameter {self.name!r} ({self.dtype!r}): {error}."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; datetimes as ISO 8601."""
        default = self.default
        if self.dtype is DataType.datetime:
            default = [item.isoformat() for item in default] if self.shape else default and default.isoformat()
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "default": default, "shape": shape, **self.dtype.to_dict()}

    @classmethod
    def from_dict(cls, spec: Any) -> ParamSpec:
        """Read the JSON form."""
        if (
            not isinstance(spec, Mapping)
            or not {"name", "default"} <= spec.keys()
            or not {"type", "dtype"} & spec.keys()
        ):
            raise InvalidArgumentError(f"The JSON of a parameter needs name, type and default, got {spec!r}.")
        dtype = column_type_from_dict({**spec, "type": spec.get("type") or spec.get("dtype")})
        return cls(spec["name"], dtype, spec["default"], spec.get("shape"))  # type: ignore[arg-type]  # checked by the constructor

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParamSpec):
            return NotImplemented
        return (self.name, self.dtype, self.default, self.shape) == (
            other.name,
            other.dtype,
            other.default,
            other.shape,
        )

    __hash__ = None  # type: ignore[assignment]  # defaults may be lists

    def __repr__(self) -> str:
        shape = "" if self.shape is None else f" (shape: {self.shape})"
        return f"{self.name!r}: {self.dtype!r} (default: {self.default}){shape}"


class ParamSchema:
    """The parameters of a model, each name once."""

    def __init__(self, params: Sequence[ParamSpec]) -> None:
        if not all(isinstance(item, ParamSpec) for item in params):
            raise InvalidArgumentError("A ParamSchema is made of ParamSpec values.")
        names = [item.name for item in params]
        if len(set(names)) != len(names):
            raise InvalidArgumentError(f"A ParamSchema names each parameter once, got {names}.")
        self.params = list(params)

    def __len__(self) -> int:
        return len(self.params)

    def __iter__(self) -> Iterator[ParamSpec]:
        return iter(self.params)

    def __eq__(self, other: object) -> bool:
        return self.params == other.params if isinstance(other, ParamSchema) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal by value and mutable, as lists are

    def __repr__(self) -> str:
        return repr(self.params)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the JSON form as Python values."""
        return [item.to_dict() for item in self.params]

    def to_json(self) -> str:
        """Return the JSON form as text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> ParamSchema:
        """Read what `to_json` wrote."""
        return cls([ParamSpec.from_dict(item) for item in load_json_list(text, "parameter schema")])


def _is_flat_list(value: Any) -> bool:
    if type(value).__module__ == "numpy" and hasattr(value, "ndim"):
        return bool(value.ndim == 1)
    return isinstance(value, list) and not any(isinstance(item, (list, tuple, dict)) for item in value)


# Which scalars each type takes, by the name of their Python or numpy type; integers widen to floats.
_LONG = {"int", "int64"}
_INTEGER = {"int", "int32"}
_FLOAT = {"float", "float32"}
_DOUBLE = {"float", "float64"}
_ACCEPTED: dict[DataType, tuple[type, set[str]]] = {
    DataType.boolean: (bool, {"bool", "bool_"}),
    DataType.integer: (int, _INTEGER),
    DataType.long: (int, _LONG | _INTEGER),
    DataType.float: (float, _FLOAT | _INTEGER | _LONG),
    DataType.double: (float, _DOUBLE | _FLOAT | _INTEGER | _LONG),
    DataType.string: (str, {"str", "str_"}),
}


def _convert(value: Any, dtype: ColumnType) -> Any:
    if value is None:
        return None
    if isinstance(dtype, Object):
        from holdfast.models._values import enforce_value

        enforce_value(value, dtype)
        return value
    if dtype is DataType.datetime:
        return _to_datetime(value)
    assert isinstance(dtype, DataType)
    python_type, names = _ACCEPTED[dtype]
    if type(value).__module__ not in ("builtins", "numpy") or type(value).__name__ not in names:
        raise InvalidArgumentError(f"cannot safely convert {value!r} of type {type(value).__name__} to {dtype!r}")
    return python_type(value)


def _to_datetime(value: Any) -> dt.date:
    import numpy as np

    try:
        moment = np.datetime64(value).item()
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{value!r} is not a date or time") from error
    if not isinstance(moment, dt.date):
        raise InvalidArgumentError(f"{value!r} is not a date or time of at most microseconds")
    return moment
