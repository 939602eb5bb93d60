"""Enforcement of tensor signatures."""

from __future__ import annotations

from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models import _libraries
from holdfast.models.schema import Schema, TensorSpec

__all__ = ["enforce_tensors"]


def enforce_tensors(data: Any, schema: Schema) -> Any:
    """Return ``data`` as the tensor, or dictionary of tensors, that the schema describes.

    A DataFrame is accepted where its columns have the shape: scalars for ``(-1,)``, ``(-1, 1)`` or together for
    ``(-1, columns)``; lists or arrays for one tensor each.

    Raises:
        InvalidArgumentError: A tensor is missing, or has another dtype or shape.
    """
    if _libraries.is_series(data):
        data = data.to_frame()
    specs = [item for item in schema if isinstance(item, TensorSpec)]
    return _named(data, specs) if schema.has_input_names() else _unnamed(data, specs[0])


def _named(data: Any, specs: list[TensorSpec]) -> dict[Any, Any]:
    if len(specs) == 1 and _libraries.is_ndarray(data):
        data = {specs[0].name: data}
    if not isinstance(data, dict) and not _libraries.is_dataframe(data):
        raise InvalidArgumentError(
            f"The model takes named tensors, so give a dictionary of arrays or a DataFrame, not {type(data).__name__}."
        )
    if missing := [spec.name for spec in specs if spec.name not in data]:
        raise InvalidArgumentError(f"The input lacks {missing}, which the model's signature requires.")
    result: dict[Any, Any] = {}
    for spec in specs:
        value = data[spec.name]
        if isinstance(data, dict) and not _libraries.is_ndarray(value):
            raise InvalidArgumentError(f"Input {spec.name!r} must be an array, not {type(value).__name__}.")
        result[spec.name] = _check(value, spec) if isinstance(data, dict) else _from_column(value, spec)
    return result


def _unnamed(data: Any, spec: TensorSpec) -> Any:
    if _libraries.is_ndarray(data) or _libraries.is_sparse(data):
        return _check(data, spec)
    if not _libraries.is_dataframe(data):
        raise InvalidArgumentError(
            f"The model takes {spec!r}, so give an array, a sparse matrix or a DataFrame, not {type(data).__name__}."
        )
    if data.empty:
        raise InvalidArgumentError("The input DataFrame is empty.")
    if len(data.columns) == 1:
        return _from_column(data[data.columns[0]], spec)
    return _check(data.to_numpy(), spec)


def _label(spec: TensorSpec) -> str:
    return "The input" if spec.name is None else f"Input {spec.name!r}"


def _check(value: Any, spec: TensorSpec) -> Any:
    wanted, have = spec.shape, tuple(value.shape)
    ragged = value.dtype == object and len(have) == 1
    if (wanted == (-1,) and spec.dtype == "object") or (ragged and len(wanted) > 1 and -1 in wanted[1:]):
        return value  # rows of different lengths, which no dtype describes
    if len(have) != len(wanted) or any(want not in (-1, size) for want, size in zip(wanted, have, strict=True)):
        raise InvalidArgumentError(f"{_label(spec)} has shape {have}, and the model's signature requires {wanted}.")
    same = value.dtype.kind == spec.type.kind if spec.dtype in ("str", "bytes") else value.dtype == spec.type
    if not same:
        raise InvalidArgumentError(
            f"{_label(spec)} has dtype {value.dtype}, and the model's signature requires {spec.dtype}; convert it "
            f"with .astype({spec.dtype!r}) if that loses nothing."
        )
    return value


def _from_column(column: Any, spec: TensorSpec) -> Any:
    """One tensor from one DataFrame column, whose cells are its rows."""
    import numpy as np

    if spec.shape[0] != -1 or -1 in spec.shape[1:]:
        raise InvalidArgumentError(
            f"{_label(spec)} has signature shape {spec.shape}; a DataFrame column fits only an open first dimension "
            "and fixed others. Give arrays instead."
        )
    first = column.iloc[0] if len(column) else None
    try:
        if isinstance(first, list):
            # A list has lost shape and dtype, so both are restored from the signature.
            value = np.vstack(column.tolist()).reshape(spec.shape).astype(spec.type)
        elif _libraries.is_ndarray(first):
            value = np.vstack(column.tolist()).reshape(spec.shape)
        elif spec.shape in ((-1,), (-1, 1)):
            value = np.array(column, dtype=spec.type).reshape(spec.shape)
        else:
            raise ValueError("its cells are scalars")  # noqa: TRY301 - joins what numpy raises
    except ValueError as error:
        raise InvalidArgumentError(f"{_label(spec)} cannot take the shape {spec.shape}: {error}.") from error
    if len(value) != len(column):
        raise InvalidArgumentError(
            f"{_label(spec)} has {len(column)} rows that make {len(value)} of shape {spec.shape}."
        )
    return _check(value, spec)
