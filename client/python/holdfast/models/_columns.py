"""Conversion of one DataFrame column to the type that a signature names."""

from __future__ import annotations

import decimal
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models.data_types import DataType

__all__ = ["convert_column"]


def convert_column(name: Any, column: Any, wanted: DataType) -> Any:
    """Return ``column`` with the dtype of ``wanted``; only conversions that change no value are made.

    Raises:
        InvalidArgumentError: The conversion could lose values; the message names the column.
    """
    import pandas as pd

    if column.dtype == object and wanted not in (DataType.binary, DataType.string):
        column = column.infer_objects()
    is_object = bool(column.dtype == object)
    if wanted in (DataType.string, DataType.binary) and (is_object or isinstance(column.dtype, pd.StringDtype)):
        # A column of objects may hold missing values, which no text or bytes dtype can.
        return column
    if wanted is DataType.boolean and is_object:
        return column  # None would become False
    if column.dtype in (wanted.to_pandas(), wanted.to_numpy()) or (
        wanted is DataType.binary and column.dtype.kind == "S"
    ):
        return column
    try:
        return _convert(column, wanted, is_object=is_object)
    except (TypeError, ValueError, decimal.InvalidOperation) as error:
        raise InvalidArgumentError(
            f"Column {name!r} cannot be safely converted from {column.dtype} to {wanted.name} "
            f"({wanted.to_numpy()}).{_hint(column, wanted, error)}"
        ) from error


def _convert(column: Any, wanted: DataType, *, is_object: bool) -> Any:
    """Convert, or raise ValueError where MLflow refuses as well."""
    import pandas as pd

    if wanted is DataType.datetime and (is_object or column.dtype.kind == "M"):
        return column.astype("datetime64[ns]")
    if wanted is DataType.double and is_object and all(_is_decimal_or_missing(cell) for cell in column):
        return pd.to_numeric(column)
    if _widens(column, wanted):
        return column.astype(wanted.to_numpy())
    raise ValueError


def _is_decimal_or_missing(cell: Any) -> bool:
    """Decimals become floats, and so does a column in which all is missing; text that looks like a number does not."""
    import pandas as pd

    return isinstance(cell, decimal.Decimal) or cell is None or cell is pd.NA or cell is pd.NaT or cell != cell  # noqa: PLR0124 - NaN


def _widens(column: Any, wanted: DataType) -> bool:
    have: Any = column.dtype  # of numpy, or an extension with the same attributes
    want = wanted.to_numpy()
    if have.kind == want.kind:
        return bool(have.itemsize <= want.itemsize)
    if have.kind == "u" and want.kind == "i":
        return bool(have.itemsize < want.itemsize)
    if have.kind in "iu" and want.kind == "f":
        # A double holds every integer of 32 bits. Flags stored as long are common enough to look at the values.
        return (want.itemsize == 8 and have.itemsize <= 4) or (have == "int64" and bool(column.isin([0, 1]).all()))
    return False


def _hint(column: Any, wanted: DataType, error: Exception) -> str:
    if column.dtype.kind == "f" and wanted in (DataType.integer, DataType.long) and column.isna().any():
        return (
            " It has missing values, which turn integer columns into floats; infer the signature from data that has "
            "missing values too, or declare the column double."
        )
    if column.dtype.kind == "M":
        return " Datetimes must not have a time zone."
    return f" {error}" if str(error) else ""
