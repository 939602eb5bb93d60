"""Types of columns: the scalar types and the nested ones built from them.

Names and JSON follow MLflow 3's signature format, so that either reads what the other wrote.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["AnyType", "Array", "ColumnType", "DataType", "Map", "Object", "Property"]


class DataType(enum.Enum):
    """The scalar types of a column."""

    boolean = "boolean"
    integer = "integer"
    long = "long"
    float = "float"
    double = "double"
    string = "string"
    binary = "binary"
    datetime = "datetime"

    def __repr__(self) -> str:
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, such as ``{"type": "double"}``."""
        return {"type": self.name}

    def to_numpy(self) -> np.dtype[Any]:
        """Return the numpy dtype that holds a column of this type."""
        import numpy as np

        return np.dtype(_NUMPY_NAMES[self])

    def to_pandas(self) -> np.dtype[Any]:
        """Return the dtype of a DataFrame column of this type: as in numpy, but ``object`` for text and bytes."""
        import numpy as np

        return np.dtype(object) if self in (DataType.string, DataType.binary) else self.to_numpy()


_NUMPY_NAMES = {
    DataType.boolean: "bool",
    DataType.integer: "int32",
    DataType.long: "int64",
    DataType.float: "float32",
    DataType.double: "float64",
    DataType.string: "str",
    DataType.binary: "bytes",
    DataType.datetime: "datetime64[ns]",
}


@dataclass(frozen=True)
class AnyType:
    """Any value at all; nothing is checked."""

    def __repr__(self) -> str:
        return "Any"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"type": "any"}


@dataclass(frozen=True, repr=False)
class Array:
    """A list whose items share one type."""

    dtype: ColumnType

    def __init__(self, dtype: ColumnType | str) -> None:
        object.__setattr__(self, "dtype", as_column_type(dtype))

    def __repr__(self) -> str:
        return f"Array({self.dtype!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"type": "array", "items": self.dtype.to_dict()}


@dataclass(frozen=True, repr=False)
class Map:
    """A dictionary with arbitrary string keys whose values share one type."""

    value_type: ColumnType

    def __init__(self, value_type: ColumnType | str) -> None:
        object.__setattr__(self, "value_type", as_column_type(value_type))

    def __repr__(self) -> str:
        return f"Map(str -> {self.value_type})"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"type": "map", "values": self.value_type.to_dict()}


@dataclass(frozen=True, repr=False)
class Property:
    """One named value of an `Object`."""

    name: str
    dtype: ColumnType
    required: bool

    def __init__(self, name: str, dtype: ColumnType | str, required: bool = True) -> None:
        if not isinstance(name, str):
            raise InvalidArgumentError(f"The name of a property must be a string, not {type(name).__name__}: {name!r}.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "dtype", as_column_type(dtype))
        object.__setattr__(self, "required", required)

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype!r} ({'required' if self.required else 'optional'})"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, keyed by the name."""
        return {self.name: {**self.dtype.to_dict(), "required": self.required}}


@dataclass(frozen=True, repr=False)
class Object:
    """A dictionary with known keys, kept sorted by name so that equal objects have equal JSON."""

    properties: tuple[Property, ...]

    def __init__(self, properties: list[Property] | tuple[Property, ...]) -> None:
        names = [item.name for item in properties]
        if not names:
            raise InvalidArgumentError("An object type needs at least one property.")
        if len(set(names)) != len(names):
            raise InvalidArgumentError(f"An object type names each property once, got {names}.")
        object.__setattr__(self, "properties", tuple(sorted(properties, key=lambda item: item.name)))

    def __repr__(self) -> str:
        return "{" + ", ".join(map(repr, self.properties)) + "}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        properties: dict[str, Any] = {}
        for item in self.properties:
            properties.update(item.to_dict())
        return {"type": "object", "properties": properties}


ColumnType = DataType | Array | Object | Map | AnyType


def as_column_type(value: ColumnType | str) -> ColumnType:
    """Return ``value`` as a type, looking a name such as ``"double"`` up.

    Raises:
        InvalidArgumentError: The name is unknown or the value is no type.
    """
    if isinstance(value, (DataType, Array, Object, Map, AnyType)):
        return value
    if value == "any":
        return AnyType()
    if isinstance(value, str) and value in DataType.__members__:
        return DataType[value]
    raise InvalidArgumentError(
        f"{value!r} is not a column type; use one of {', '.join(DataType.__members__)}, any, "
        "or an Array, Object, Map or AnyType."
    )


def column_type_from_dict(spec: Mapping[str, Any]) -> ColumnType:
    """Read a type from its JSON form.

    Raises:
        InvalidArgumentError: The form is not one that MLflow 3 writes.
    """
    kind = spec.get("type") if isinstance(spec, Mapping) else None
    if kind == "array" and isinstance(spec.get("items"), Mapping):
        return Array(column_type_from_dict(spec["items"]))
    if kind == "map" and isinstance(spec.get("values"), Mapping):
        return Map(column_type_from_dict(spec["values"]))
    if kind == "object" and isinstance(spec.get("properties"), Mapping):
        return Object(
            [
                Property(name, column_type_from_dict(item), required=bool(item.get("required", True)))
                for name, item in spec["properties"].items()
            ]
        )
    if kind == "sparkml_vector":
        return Array(DataType.double)
    if isinstance(kind, str) and kind not in ("array", "map", "object"):
        return as_column_type(kind)
    raise InvalidArgumentError(f"Not the JSON of a column type: {dict(spec) if isinstance(spec, Mapping) else spec!r}.")


def merge(left: ColumnType, right: ColumnType) -> ColumnType:  # noqa: PLR0911 - one case for each pair of types
    """Return the type of values of which some have type ``left`` and some ``right``.

    A value that was missing (`AnyType`) agrees with every type; a key that only some objects have becomes optional.

    Raises:
        InvalidArgumentError: No one type holds both.
    """
    if isinstance(left, AnyType):
        return right if isinstance(right, (AnyType, DataType)) else merge(right, left)
    if left == right:
        return left
    if isinstance(left, Object) and isinstance(right, AnyType):
        return Object([Property(item.name, item.dtype, required=False) for item in left.properties])
    if isinstance(right, AnyType):
        return left
    if isinstance(left, Object) and isinstance(right, Object):
        return _merge_objects(left, right)
    if isinstance(left, Array) and isinstance(right, Array):
        return Array(merge(left.dtype, right.dtype))
    if isinstance(left, Map) and isinstance(right, Map):
        return Map(merge(left.value_type, right.value_type))
    raise InvalidArgumentError(f"Values of the types {left!r} and {right!r} cannot share one column.")


def _merge_objects(left: Object, right: Object) -> Object:
    ours = {item.name: item for item in left.properties}
    theirs = {item.name: item for item in right.properties}
    merged = []
    for name in ours.keys() | theirs.keys():
        if name in ours and name in theirs:
            one, other = ours[name], theirs[name]
            merged.append(Property(name, merge(one.dtype, other.dtype), required=one.required and other.required))
        else:
            merged.append(Property(name, (ours.get(name) or theirs[name]).dtype, required=False))
    return Object(merged)
