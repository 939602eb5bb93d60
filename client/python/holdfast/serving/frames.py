"""Makes DataFrames of JSON rows: at once where every cell has its column's type, else by column as MLflow does."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from holdfast.errors import InvalidArgumentError
from holdfast.models._values import enforce_value
from holdfast.models.data_types import AnyType, Array, DataType, Map, Object
from holdfast.models.schema import ColSpec, Schema, TensorSpec
from holdfast.serving.errors import ServingError, bad_request

__all__ = ["ExactFrames", "NumberRows", "cast_frame"]

# Cells of these Python types need no conversion that could fail or that pandas would do in another way.
_EXACT_CELLS: dict[DataType, frozenset[type]] = {
    DataType.double: frozenset({float, int, type(None)}),
    DataType.float: frozenset({float}),
    DataType.long: frozenset({int}),
    DataType.integer: frozenset({int}),
    DataType.boolean: frozenset({bool}),
    DataType.string: frozenset({str}),
}


@dataclass(frozen=True, slots=True)
class NumberRows:
    """Rows of a table whose columns all have the same type, in the signature's order; a DataFrame is made of them last.

    Attributes:
        values: ``(rows, columns)``.
        columns: Their names.
    """

    values: Any
    columns: pd.Index

    def __len__(self) -> int:
        return len(self.values)

    def frame(self) -> pd.DataFrame:
        """The table."""
        made: pd.DataFrame = pd.DataFrame(self.values, columns=self.columns, copy=False)
        return made


class ExactFrames:
    """Reads rows that are just as a signature of columns describes them; what is not so is left to slower code.

    That most requests are so, and that pandas takes its time for each column, is why this exists.
    """

    def __init__(self, schema: Schema | None) -> None:
        specs = [item for item in schema or () if isinstance(item, ColSpec)]
        self._names = [item.name for item in specs]
        self._dtype: Any = None
        kinds = [item.type for item in specs]
        self.applies = bool(specs) and self._names[0] is not None and all(kind in _EXACT_CELLS for kind in kinds)
        if not self.applies:
            return
        self._kinds = [kind for kind in kinds if isinstance(kind, DataType)]
        self._columns = pd.Index(self._names)
        same = len(set(self._kinds)) == 1 and self._kinds[0] is not DataType.string
        self._dtype = self._kinds[0].to_numpy() if same else None

    def empty(self) -> NumberRows | None:
        """What reading no rows would give; None where columns differ in type."""
        if self._dtype is None:
            return None
        return NumberRows(np.empty((0, len(self._names)), self._dtype), self._columns)

    def from_split(self, content: dict[str, Any]) -> NumberRows | pd.DataFrame | None:
        """Read ``{"columns": …, "data": rows}``; None when it is not exact."""
        if not self.applies or content.get("columns") != self._names or len(content) != 2:
            return None
        return self._from_rows(content.get("data"))

    def from_records(self, records: Any) -> NumberRows | pd.DataFrame | None:
        """Read a list of dictionaries; None when it is not exact."""
        if not self.applies or not isinstance(records, list) or not records:
            return None
        names = self._names
        if any(type(record) is not dict or len(record) != len(names) for record in records):
            return None
        try:
            return self._from_rows([[record[name] for name in names] for record in records])
        except KeyError:
            return None

    def from_columns(self, columns: Any) -> NumberRows | pd.DataFrame | None:
        """Read a dictionary of lists; None when it is not exact."""
        if not self.applies or type(columns) is not dict or len(columns) != len(self._names):
            return None
        values: list[Any] = [columns.get(name) for name in self._names]
        if any(type(value) is not list for value in values) or len({len(value) for value in values}) != 1:
            return None
        return self._from_rows(list(zip(*values, strict=True)))

    def _from_rows(self, rows: Any) -> NumberRows | pd.DataFrame | None:
        if type(rows) is not list or not rows:
            return None
        try:
            if self._dtype is not None:
                cells = set(map(type, itertools.chain.from_iterable(rows)))
                if not cells <= _EXACT_CELLS[self._kinds[0]]:
                    return None
                values = np.array(rows, dtype=self._dtype)
                return NumberRows(values, self._columns) if values.shape[1:] == self._columns.shape else None
            return self._mixed(list(zip(*rows, strict=True)))
        except (TypeError, ValueError, OverflowError):  # ragged rows, or numbers beyond the type
            return None

    def _mixed(self, columns: Sequence[Sequence[Any]]) -> pd.DataFrame | None:
        if len(columns) != len(self._names):
            return None
        made: dict[Any, Any] = {}
        for name, kind, cells in zip(self._names, self._kinds, columns, strict=True):
            if not set(map(type, cells)) <= _EXACT_CELLS[kind]:
                return None
            made[name] = list(cells) if kind is DataType.string else np.array(cells, dtype=kind.to_numpy())
        frame: pd.DataFrame = pd.DataFrame(made)
        return frame


def cast_frame(frame: pd.DataFrame, schema: Schema | None) -> pd.DataFrame:
    """Give the columns of ``frame`` the types of ``schema``, as MLflow does before it enforces the signature.

    JSON has no bytes, times or widths of numbers: bytes are base64, times ISO 8601.

    Raises:
        ServingError: A column cannot have its type.
    """
    for name, kind, required in _column_types(frame, schema):
        if name not in frame.columns:
            continue
        try:
            frame[name] = _cast(frame[name], kind, required=required)
        except (TypeError, ValueError, OverflowError, AttributeError, InvalidArgumentError) as error:
            wanted = kind.name if isinstance(kind, DataType) else kind
            raise ServingError(
                ServingError.BAD_REQUEST,
                f"Column {name!r} does not fit the model's signature, which expects {wanted!s}: {error}.",
            ) from error
    return frame


def _column_types(frame: pd.DataFrame, schema: Schema | None) -> Iterable[tuple[Any, Any, bool]]:
    if schema is None:
        return
    specs = [(item.type, item.required) for item in schema]
    if schema.has_input_names():
        yield from ((name, *spec) for name, spec in zip(schema.input_names(), specs, strict=True))
    elif schema.is_tensor_spec():
        yield from ((name, *specs[0]) for name in frame.columns)
    else:
        yield from ((name, *spec) for name, spec in zip(frame.columns, specs, strict=False))


def _cast(column: Any, kind: Any, *, required: bool) -> Any:  # noqa: PLR0911 - one case for each kind of type
    if kind is DataType.binary:
        return column.map(lambda cell: base64.decodebytes(bytes(cell, "utf8")))
    if kind is DataType.datetime:
        return pd.to_datetime(column).dt.as_unit("ns")
    if isinstance(kind, (Array, Object, Map)):
        return column.map(lambda cell: enforce_value(cell, kind, required=required))
    if isinstance(kind, AnyType):
        return column
    if isinstance(kind, np.dtype):
        if kind.kind == "S":
            return column.map(lambda cell: bytes(cell, "utf8"))
        if len(column) and isinstance(column.iloc[0], list):
            return column  # a tensor in each cell, which enforcement makes one array of
        wanted = kind
    else:
        wanted = kind.to_pandas()
    if wanted.kind in "OU" and isinstance(column.dtype, pd.StringDtype):
        return column
    return column.astype(wanted)


def tensor_of(data: Any, spec: TensorSpec) -> Any:
    """An array of nested lists, with the dtype of ``spec``.

    Raises:
        ServingError: The lists are ragged, or a value does not fit.
    """
    try:
        return np.array(data, dtype=spec.type)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_request(f"The data does not fit the model's signature, which expects {spec!r}: {error}.") from error
