"""Conversions between the messages of ``PredictionService`` and what models take and give."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from google.protobuf import json_format

from holdfast.models import _libraries
from holdfast.models.data_types import DataType
from holdfast.models.params import ParamSchema
from holdfast.serving.arrow import frame_from_arrow, frame_to_arrow
from holdfast.serving.decoding import Decoded
from holdfast.serving.encoding import encode
from holdfast.serving.errors import ServingError, bad_request
from holdfast.serving.model import ServedModel
from holdfast.v1 import prediction_pb2 as messages

__all__ = ["decode_input", "encode_output", "frame_from_table", "table_from_frame", "tensor_from_array"]

_MAX_DIMENSIONS = 32  # numpy 1 has no more
_DTYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()  # noqa: SIM905 - reads better
)
# The fields of Column that numpy has a dtype for.
_FIELDS = {"doubles": "float64", "floats": "float32", "longs": "int64", "integers": "int32", "booleans": "bool"}
# For each dtype of numpy, the field that holds all its values.
_FIELD_OF = {
    **{dtype: field for field, dtype in _FIELDS.items()},
    "float16": "floats",
    **dict.fromkeys(("int8", "int16", "uint8", "uint16"), "integers"),
    "uint32": "longs",
}  # fmt: skip


def decode_input(message: messages.PredictionInput, model: ServedModel) -> Decoded:
    """The request that a message holds.

    Raises:
        ServingError: It holds none, or a malformed one.
    """
    params = _params(message, model.signature.params if model.signature else None)
    kind = message.WhichOneof("data")
    if kind == "table":
        return Decoded(frame_from_table(message.table), params)
    if kind == "tensors":
        return Decoded(_from_tensors(message.tensors), params)
    if kind == "arrow_stream":
        return Decoded(frame_from_arrow(message.arrow_stream), params)
    if kind == "json":
        decoded = model.decoder.decode_json(message.json)
        return Decoded(decoded.data, params, exact=decoded.exact, unwrapped=decoded.unwrapped)
    raise bad_request("input has no data: set one of table, tensors, arrow_stream and json.")


def encode_output(
    predictions: Any,
    decoded: Decoded,  # noqa: ARG001 - what encoders are called with
    model: ServedModel,
    *,
    output_format: int,
) -> messages.PredictionOutput:
    """The message that holds predictions.

    Raises:
        ServingError: They cannot be put into the form that was asked for.
    """
    output = messages.PredictionOutput(model_version=model.identity.version, model_id=model.model_id or "")
    if output_format == messages.PREDICTION_FORMAT_JSON:
        output.json = encode(predictions, unwrapped=True).decode()
    elif output_format == messages.PREDICTION_FORMAT_ARROW:
        output.arrow_stream = frame_to_arrow(_as_frame(predictions))
    elif output_format != messages.PREDICTION_FORMAT_UNSPECIFIED:
        raise bad_request(f"output_format {output_format} is none that this server knows.")
    elif isinstance(predictions, (pd.DataFrame, pd.Series)):
        output.table.CopyFrom(table_from_frame(pd.DataFrame(predictions)))
    elif (tensors := _to_tensors(predictions)) is not None:
        output.tensors.CopyFrom(tensors)
    else:
        output.json = encode(predictions, unwrapped=True).decode()
    return output


def frame_from_table(table: messages.Table) -> pd.DataFrame:
    """A DataFrame of columns.

    Raises:
        ServingError: Names repeat, or columns have different lengths.
    """
    columns = [_column(message) for message in table.columns]
    names: list[Any] = [message.name for message in table.columns]
    if not any(names):
        names = list(range(len(names)))
    if len(set(names)) != len(names):
        raise bad_request(f"The table's columns need names that differ; it has {names}.")
    lengths = {name: len(column) for name, column in zip(names, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise bad_request(f"The table's columns have different lengths: {lengths}.")
    if columns and all(isinstance(column, np.ndarray) and column.dtype == columns[0].dtype for column in columns):
        frame: pd.DataFrame = pd.DataFrame(np.column_stack(columns), columns=pd.Index(names), copy=False)
    else:
        frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    return frame


def _column(message: messages.Column) -> Any:
    field = message.WhichOneof("values")
    if field is None:
        raise bad_request(f"Column {message.name!r} has no values.")
    values = getattr(message, field).values
    missing = list(message.missing_rows)
    if missing and max(missing) >= len(values):
        raise bad_request(f"Column {message.name!r} has {len(values)} rows, and row {max(missing)} as missing.")
    if field in _FIELDS:
        array = np.array(values, dtype=_FIELDS[field])
        if not missing:
            return array
        if array.dtype.kind == "f":
            array[missing] = np.nan
            return array
        cells = array.astype(object)
        cells[missing] = None
        # As JSON's null does: integers become floats, truth values objects.
        return cells if array.dtype.kind == "b" else cells.astype("float64")
    if field == "times":
        times = np.array(values, dtype="int64").astype("datetime64[ns]")
        times[missing] = np.datetime64("NaT")
        return pd.Series(times)
    found: list[Any] = [_parse_cell(text) for text in values] if field == "jsons" else list(values)
    for row in missing:
        found[row] = None
    # Without a dtype pandas makes of texts what it makes of those of JSON.
    return pd.Series(found, dtype=None if field == "strings" else object)


def _parse_cell(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"A cell is not JSON: {error}.") from error


def table_from_frame(frame: pd.DataFrame) -> messages.Table:
    """The message of a DataFrame; its index is left out."""
    table = messages.Table()
    for name in frame.columns:
        _fill_column(table.columns.add(name=str(name)), frame[name])
    return table


def _fill_column(message: messages.Column, column: Any) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    dtype = column.dtype
    if dtype.kind == "M":
        message.times.values.extend(column.dt.as_unit("ns").astype("int64").tolist())
    elif str(dtype).lower() in _FIELD_OF and not (len(missing) and dtype.kind != "f"):
        getattr(message, _FIELD_OF[str(dtype).lower()]).values.extend(column.to_numpy().tolist())
    else:
        _fill_objects(message, column.astype(object).where(column.notna(), None).tolist())
    message.missing_rows.extend(missing.tolist() if dtype.kind != "f" else [])


def _fill_objects(message: messages.Column, cells: Sequence[Any]) -> None:
    kinds = {type(cell) for cell in cells if cell is not None}
    choices: list[tuple[set[type], Callable[[], Any], Any]] = [
        ({str}, lambda: message.strings, ""),
        ({bytes}, lambda: message.binaries, b""),
        ({bool}, lambda: message.booleans, False),
        ({int}, lambda: message.longs, 0),
        ({float, int}, lambda: message.doubles, 0.0),
    ]
    for wanted, field, blank in choices:
        if kinds and kinds <= wanted:
            try:
                field().values.extend(blank if cell is None else cell for cell in cells)
                return
            except (ValueError, OverflowError):  # an integer of more than 64 bits
                continue
    message.jsons.values.extend(encode(cell, unwrapped=True).decode() for cell in cells)


def tensor_from_array(array: Any, name: str = "") -> messages.Tensor | None:
    """The message of an array; None when its elements are neither numbers, truth values nor texts."""
    message = messages.Tensor(name=name, shape=array.shape)
    if array.dtype.kind == "U" or (array.dtype == object and all(isinstance(item, str) for item in array.flat)):
        message.dtype = "str"
        message.strings.extend(array.ravel().tolist())
    elif array.dtype.name in _DTYPES:
        message.dtype = array.dtype.name
        message.data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    else:
        return None
    return message


def array_from_tensor(message: messages.Tensor) -> Any:
    """The array of a tensor.

    Raises:
        ServingError: Its type is none that is known, or its elements do not fill its shape.
    """
    shape = tuple(message.shape)
    name = f"Tensor {message.name!r}" if message.name else "The tensor"
    if len(shape) > _MAX_DIMENSIONS:
        raise bad_request(f"{name} has {len(shape)} dimensions; at most {_MAX_DIMENSIONS} are read.")
    if message.dtype == "str":
        array = np.array(list(message.strings), dtype=str)
    elif message.dtype in _DTYPES:
        dtype = np.dtype(message.dtype).newbyteorder("<")
        if len(message.data) % dtype.itemsize:
            raise bad_request(f"{name} has {len(message.data)} bytes, which are not whole elements of {message.dtype}.")
        array = np.frombuffer(message.data, dtype=dtype).astype(np.dtype(message.dtype))
    else:
        raise bad_request(f"{name} has dtype {message.dtype!r}; known are {', '.join(sorted(_DTYPES))} and str.")
    if any(size < 0 for size in shape) or array.size != int(np.prod(shape, dtype=object)):
        raise bad_request(f"{name} has {array.size} elements, which do not fill the shape {shape}.")
    return array.reshape(shape)


def _from_tensors(message: messages.Tensors) -> Any:
    found = list(message.tensors)
    names = [tensor.name for tensor in found]
    if len(found) == 1 and not names[0]:
        return array_from_tensor(found[0])
    if not found or not all(names) or len(set(names)) != len(names):
        raise bad_request(f"Tensors are one without a name, or several with names that differ; these have {names}.")
    return {tensor.name: array_from_tensor(tensor) for tensor in found}


def _to_tensors(predictions: Any) -> messages.Tensors | None:
    named = predictions if isinstance(predictions, dict) else {"": predictions}
    result = messages.Tensors()
    for name, value in named.items():
        if isinstance(value, dict) or not isinstance(name, str):
            return None
        tensor = _tensor_of(value, name)
        if tensor is None:
            return None
        result.tensors.append(tensor)
    return result if named else None


def _tensor_of(value: Any, name: str) -> messages.Tensor | None:
    if _libraries.is_sparse(value):
        value = value.toarray()
    if isinstance(value, (list, tuple)):
        try:
            value = np.array(value)
        except ValueError:  # ragged
            return None
    if isinstance(value, (bool, int, float, str)):
        value = np.array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    return tensor_from_array(np.asarray(value), name)


def _as_frame(predictions: Any) -> pd.DataFrame:
    """A table of predictions: rows of an array of more dimensions are lists in a column ``predictions``."""
    if isinstance(predictions, pd.DataFrame):
        return predictions
    if isinstance(predictions, pd.Series):
        return predictions.to_frame("predictions" if predictions.name is None else predictions.name)
    if _libraries.is_sparse(predictions):
        predictions = predictions.toarray()
    if isinstance(predictions, (list, np.ndarray)):
        try:
            array = np.asarray(predictions)
        except ValueError:
            array = np.empty(0)
        predictions = {"predictions": array.tolist() if array.ndim > 1 else predictions}
    if isinstance(predictions, dict):
        cells = {
            name: value.tolist() if getattr(value, "ndim", 1) > 1 else value for name, value in predictions.items()
        }
        with contextlib.suppress(ValueError):
            frame: pd.DataFrame = pd.DataFrame(cells)
            return frame
    raise ServingError(
        ServingError.BAD_REQUEST,
        f"The model gave a {type(predictions).__name__}, which is no table: ask for another output_format.",
    )


def _params(message: messages.PredictionInput, schema: ParamSchema | None) -> dict[str, Any] | None:
    """The parameters; a Struct knows doubles only, so whole numbers become integers where the signature has them."""
    if not message.HasField("params"):
        return None
    given: dict[str, Any] = json_format.MessageToDict(message.params)
    integers = {item.name for item in schema or () if item.dtype in (DataType.integer, DataType.long)}
    return {name: _whole(value) if name in integers else value for name, value in given.items()}


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
