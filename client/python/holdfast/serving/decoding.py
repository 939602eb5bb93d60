"""Reads the body of a scoring request, by the rules of MLflow 3.17's scoring server."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from holdfast.errors import InvalidArgumentError
from holdfast.models._values import enforce_value, is_scalar
from holdfast.models.data_types import AnyType, Array, DataType
from holdfast.models.schema import ColSpec, Schema, TensorSpec
from holdfast.serving.errors import ServingError, bad_request
from holdfast.serving.frames import ExactFrames, NumberRows, cast_frame, tensor_of

__all__ = ["FORMATS", "Decoded", "Decoder"]

CSV = "text/csv"
JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
CONTENT_TYPES = (JSON, CSV, PARQUET)

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")

# A dictionary with one of these keys is the request itself: what chat, completion and embedding models take.
_UNWRAPPED_KEYS = {"messages", "prompt", "input"}


# Of Parquet, which holds equal values once: bytes of a cell, and most bytes of a table, or else times what was sent.
_CELL, _MAX_UNPACKED, _MAX_RATIO = 8, 256 << 20, 64


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request.

    Attributes:
        data: What the model is to predict from.
        params: Parameters, not yet checked; None without.
        exact: Whether the data is as the signature describes it already.
        unwrapped: Whether the answer is the prediction itself, without ``{"predictions": …}`` around it.
    """

    data: Any
    params: Any = None
    exact: bool = False
    unwrapped: bool = False


class Decoder:
    """Reads requests for one model."""

    def __init__(self, schema: Schema | None, *, param_names: frozenset[str], takes_raw_inputs: bool) -> None:
        """Prepare for a signature.

        Args:
            schema: Of the inputs; None: the data is taken as it comes.
            param_names: Parameters that the signature names.
            takes_raw_inputs: The signature comes from type hints of a Python function, which gets ``inputs`` as it is.
        """
        self._schema = schema
        self._param_names = param_names
        self._takes_raw_inputs = takes_raw_inputs
        self._exact = ExactFrames(schema)

    @property
    def number_rows(self) -> NumberRows | None:
        """A table without rows, of those that the signature describes; None when its columns differ in type."""
        return self._exact.empty()

    def decode(self, body: bytes, content_type: str) -> Decoded:
        """Read a body of the given media type, as `media_type` gave it.

        Raises:
            ServingError: It is not what the protocol or the signature wants.
        """
        if content_type == JSON:
            return self.decode_json(body)
        if content_type == CSV:
            return Decoded(self._read_csv(body))
        return Decoded(_read_parquet(body))

    def decode_json(self, text: bytes | str) -> Decoded:
        """Read a request in JSON."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:  # of which both kinds of bad JSON and of bad UTF-8 are
            raise bad_request(f"Invalid input. The body is not JSON: {error}.") from error
        if not isinstance(content, dict):
            raise bad_request(f"Invalid input. {_expected_form()}, not a {_json_name(content)}.")
        if not _UNWRAPPED_KEYS.isdisjoint(content):
            given = {key: value for key, value in content.items() if key in self._param_names}
            data = {key: value for key, value in content.items() if key not in given}
            return Decoded(data, given, unwrapped=True)
        found = [key for key in FORMATS if key in content]
        params: Any = content.get("params")
        if self._takes_raw_inputs:
            if "inputs" not in found:
                raise bad_request(f"The model takes a JSON object with the key 'inputs'; this one has {list(content)}.")
            return Decoded(content["inputs"], params)
        if len(found) != 1:
            raise bad_request(f"{_expected_form()}; this one has the keys {list(content)}.")
        return self._decode(found[0], content[found[0]], params)

    def _decode(self, form: str, content: Any, params: Any) -> Decoded:
        exact: NumberRows | pd.DataFrame | None = None
        if form == "dataframe_split":
            content = _checked_split(content)
            exact = self._exact.from_split(content)
        elif type(content) is list:
            exact = self._exact.from_records(content)
        elif form == "inputs":
            exact = self._exact.from_columns(content)
        if exact is not None:
            return Decoded(exact, params, exact=True)
        if form == "dataframe_split":
            return Decoded(self._frame(form, **content), params)
        if form == "dataframe_records":
            if not isinstance(content, list):
                raise bad_request(f"dataframe_records must be a list of records, not a {_json_name(content)}.")
            return Decoded(self._frame(form, data=content), params)
        try:
            data = self._from_instances(content) if form == "instances" else self._cast(content)
        except ServingError:
            raise
        except (TypeError, ValueError, OverflowError, InvalidArgumentError) as error:
            raise bad_request(
                f"Invalid input. {form!r} does not fit the model's signature{self._wanted()}: {error}."
            ) from error
        return Decoded(data, params)

    def _frame(self, form: str, **parts: Any) -> pd.DataFrame:
        try:
            frame = pd.DataFrame(**parts)
        except Exception as error:  # pandas raises all sorts
            raise bad_request(f"Invalid input. {form} holds no table: {error}.") from error
        return cast_frame(frame, self._schema)

    def _wanted(self) -> str:
        return f", which expects {self._schema!r}" if self._schema else ""

    def _from_instances(self, content: Any) -> Any:
        """Rows: of values, or of dictionaries that become columns."""
        if not isinstance(content, list) or not content or not isinstance(content[0], dict):
            data = self._cast(content)
        else:
            specs = self._specs()
            columns: dict[str, list[Any]] = defaultdict(list)
            for row in content:
                for name, value in row.items():
                    columns[name].append(_convert(value, specs.get(name)))
            data = {name: np.array(values) for name, values in columns.items()}
        if isinstance(data, dict):
            self._check_lengths(data)
        return data

    def _check_lengths(self, data: dict[str, Any]) -> None:
        """All required columns have the same number of rows."""
        lengths = {name: len(value) for name, value in data.items() if isinstance(value, (list, np.ndarray))}
        if specs := self._specs():
            required = {name for name, spec in specs.items() if spec.required and not isinstance(spec.type, Array)}
            lengths = {name: length for name, length in lengths.items() if name in required}
        if len(set(lengths.values())) > 1:
            raise bad_request(f"Invalid input. The columns have different lengths: {lengths}.")

    def _cast(self, content: Any) -> Any:
        """Data of ``inputs``: a dictionary of columns or tensors, a list of rows, or values without names."""
        specs = self._specs()
        schema = self._schema
        if schema is not None:
            if len(specs) == 1 and isinstance(content, list) and not any(isinstance(item, dict) for item in content):
                content = {next(iter(specs)): content}
            elif not schema.has_input_names() and not isinstance(content, list) and not is_scalar(content):
                raise bad_request(
                    f"Invalid input. The model's signature has no names{self._wanted()}: give a list or one value, "
                    f"not a {_json_name(content)}."
                )
        if isinstance(content, dict):
            return {name: _convert(value, specs.get(name)) for name, value in content.items()}
        if isinstance(content, list) and all(isinstance(item, dict) for item in content):
            return [{name: _convert(value, specs.get(name)) for name, value in row.items()} for row in content]
        return _convert(content, next(iter(schema)) if schema else None)

    def _specs(self) -> dict[Any, ColSpec | TensorSpec]:
        if self._schema is None or not self._schema.has_input_names():
            return {}
        return {item.name: item for item in self._schema}

    def _read_csv(self, body: bytes) -> pd.DataFrame:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad_request(f"Invalid input. The body is not UTF-8: {error}.") from error
        schema = self._schema
        columns = [item for item in schema or () if isinstance(item, ColSpec)]
        kinds = {item.name: item.type for item in columns if item.name is not None}
        dtypes: dict[Any, Any] = {
            name: object if kind is DataType.datetime else kind.to_pandas()
            for name, kind in kinds.items()
            if isinstance(kind, DataType)
        }
        try:
            frame = pd.read_csv(io.StringIO(text), dtype=dtypes or None)
            for name, kind in kinds.items():
                if kind is DataType.datetime and name in frame.columns:
                    frame[name] = pd.to_datetime(frame[name]).dt.as_unit("ns")
        except Exception as error:  # pandas raises all sorts
            raise bad_request(
                f"The body is not CSV of a table{self._wanted()}: {error}. Write it with DataFrame.to_csv(index=False)."
            ) from error
        return frame


def media_type(header: str) -> str:
    """The media type of a content-type header.

    Raises:
        ServingError: It is none that can be read.
    """
    name, *parameters = (part.strip() for part in header.split(";"))
    pairs = {
        key.strip().lower(): value.strip().strip('"') for key, _, value in (part.partition("=") for part in parameters)
    }
    charset = pairs.pop("charset", "utf-8").lower()
    if charset != "utf-8":
        raise ServingError(ServingError.UNSUPPORTED, f"Only UTF-8 is read, not {charset}.")
    if pairs:
        raise ServingError(ServingError.UNSUPPORTED, f"Unknown parameters of the content type: {', '.join(pairs)}.")
    if name.lower() not in CONTENT_TYPES:
        raise ServingError(
            ServingError.UNSUPPORTED, f"The content type must be one of {', '.join(CONTENT_TYPES)}, not {name!r}."
        )
    return name.lower()


def _convert(data: Any, spec: ColSpec | TensorSpec | None) -> Any:
    """One column, tensor or cell with the type that the signature gives it; an array when it gives none."""
    if spec is None:
        return np.array(data)
    if isinstance(spec, TensorSpec):
        return tensor_of(data, spec)
    kind = spec.type
    if isinstance(kind, DataType):
        dtype = kind.to_numpy()
        return np.array(data, dtype) if isinstance(data, list) else np.array([data], dtype)[0]
    if isinstance(kind, AnyType):
        return data
    checked = enforce_value(data, kind, required=spec.required)
    return np.array(checked) if isinstance(kind, Array) else checked


def _checked_split(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise bad_request(f"dataframe_split must be a dictionary, not a {_json_name(content)}.")
    keys = set(content)
    if "data" not in keys or keys - {"columns", "data", "index"}:
        raise bad_request(
            f"dataframe_split must have the key 'data' and may have 'columns' and 'index'; this one has {sorted(keys)}."
        )
    return content


def _read_parquet(body: bytes) -> pd.DataFrame:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ServingError(
            ServingError.UNSUPPORTED, "Parquet needs pyarrow at the server: pip install pyarrow there, or send JSON."
        ) from error
    try:
        file = parquet.ParquetFile(io.BytesIO(body))
        size = file.metadata.num_rows * max(1, file.metadata.num_columns) * _CELL
        fits = size <= max(_MAX_UNPACKED, _MAX_RATIO * len(body))
        frame: pd.DataFrame | None = file.read().to_pandas() if fits else None
    except Exception as error:  # pandas and pyarrow raise all sorts
        raise bad_request(f"The body is not Parquet of a table: {error}.") from error
    if frame is None:
        raise ServingError(
            ServingError.TOO_LARGE,
            f"The table of {file.metadata.num_rows:,} rows would take {size:,} bytes, many times what was sent.",
        )
    return frame


def _expected_form() -> str:
    return f"The input must be a JSON object with exactly one of {', '.join(FORMATS)}, and perhaps params"


def _json_name(value: Any) -> str:
    names = {list: "list", dict: "dictionary", str: "string", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
