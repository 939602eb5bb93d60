"""Input examples: saved beside a model as MLflow 3 saves them, and read back."""

from __future__ import annotations

import base64
import datetime as dt
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models import _libraries
from holdfast.models._inference import infer_param_schema

__all__ = ["InputExample", "split_params"]

EXAMPLE_FILE = "input_example.json"
SERVING_FILE = "serving_input_example.json"

# A dictionary with one of these keys is what chat, completion and embedding servers take unwrapped.
_UNWRAPPED_KEYS = {"messages", "prompt", "input"}


class InputExample:
    """An input example in its saved form.

    Attributes:
        data: A copy of the data, without the parameters.
        params: The parameters of ``(data, params)``, or None.
        info: What MLmodel records under ``saved_input_example_info``.
        json: The content of ``input_example.json``.
        serving_json: The content of ``serving_input_example.json``, a request for a scoring server.
    """

    def __init__(self, example: Any) -> None:
        """Convert ``example``: arrays, DataFrames, lists, dictionaries, sparse matrices, scalars, or (data, params).

        Raises:
            InvalidArgumentError: It is none of these, or holds what JSON cannot express.
        """
        self.data, self.params = split_params(deepcopy(example))
        self.info: dict[str, Any] = {"artifact_path": EXAMPLE_FILE}
        if self.params:
            self.info["params"] = "true"
        content, serving = self._convert(deepcopy(self.data))
        if self.params is not None:
            content = {"inputs": content, "params": self.params}
            unwrapped = "inputs" not in serving and "dataframe_split" not in serving
            serving = {**serving, **(self.params if unwrapped else {"params": self.params})}
        try:
            self.json = json.dumps(content, default=_encode)
            self.serving_json = json.dumps(serving, default=_encode, indent=2)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(f"The input example cannot be written as JSON: {error}.") from error
        self.info["serving_input_path"] = SERVING_FILE

    def save(self, directory: Path) -> None:
        """Write both files into ``directory``."""
        (directory / EXAMPLE_FILE).write_text(self.json, encoding="utf-8")
        (directory / SERVING_FILE).write_text(self.serving_json, encoding="utf-8")

    def _convert(self, data: Any) -> tuple[Any, dict[str, Any]]:
        """Return the content of the example and the serving request; note the type in ``info``."""
        if _libraries.is_dataframe(data):
            content = _split_frame(data)
            self.info |= {"type": "dataframe", "pandas_orient": "split" if "columns" in content else "values"}
            return content, {"dataframe_split": content}
        if _libraries.is_sparse(data):
            if (kind := _libraries.sparse_format(data)) not in ("csr", "csc"):
                raise InvalidArgumentError(f"A sparse input example must be CSR or CSC, not {kind}; use .tocsr().")
            self.info["type"] = f"sparse_matrix_{kind}"
            return _sparse_parts(data), {"inputs": data.toarray()}
        if _libraries.is_ndarray(data):
            self.info["type"] = "ndarray"
            content = _without_nan(data)
            return content, {"inputs": content}
        if isinstance(data, dict) and any(_libraries.is_ndarray(value) for value in data.values()):
            if not all(_libraries.is_ndarray(value) for value in data.values()):
                raise InvalidArgumentError("A dictionary as input example holds arrays only, or none.")
            self.info["type"] = "ndarray"
            content = {name: _without_nan(value) for name, value in data.items()}
            return content, {"inputs": content}
        if isinstance(data, list) and _holds_array(data):
            raise InvalidArgumentError("A list as input example holds no arrays; stack them into one array.")
        if not isinstance(data, (list, dict)) and not _is_scalar(data):
            raise InvalidArgumentError(
                "An input example is an array, a DataFrame, a sparse matrix, a list, a dictionary or a scalar, "
                f"or a tuple of one of these and a dictionary of parameters; not {type(data).__name__}."
            )
        self.info["type"] = "json_object"
        unwrapped = isinstance(data, dict) and _UNWRAPPED_KEYS & data.keys()
        return data, data if unwrapped else {"inputs": data}


def split_params(example: Any) -> tuple[Any, dict[str, Any] | None]:
    """Split ``(data, params)``; anything but a pair with a dictionary is data.

    Raises:
        InvalidArgumentError: A parameter has no type.
    """
    if isinstance(example, tuple) and len(example) == 2 and isinstance(example[1], dict):
        infer_param_schema(example[1])
        return example
    return example, None


def _is_scalar(data: Any) -> bool:
    import numpy as np

    return bool(np.isscalar(data)) or isinstance(data, dt.datetime)


def _holds_array(data: Any) -> bool:
    if isinstance(data, dict):
        data = list(data.values())
    return _libraries.is_ndarray(data) or (isinstance(data, list) and any(_holds_array(item) for item in data))


def _without_nan(array: Any) -> Any:
    """Nested lists with None for NaN, which JSON has no name for."""
    import numpy as np

    if np.issubdtype(array.dtype, np.number):
        array = np.where(np.isnan(array), None, array)
    return array.tolist()


def _sparse_parts(matrix: Any) -> dict[str, Any]:
    return {
        "data": _without_nan(matrix.data),
        "indices": matrix.indices.tolist(),
        "indptr": matrix.indptr.tolist(),
        "shape": list(matrix.shape),
    }


def _split_frame(frame: Any) -> dict[str, Any]:
    content = frame.where(frame.notnull(), None).to_dict(orient="split")
    del content["index"]
    if list(frame.columns) == list(range(len(frame.columns))):
        del content["columns"]
    return dict(content)


def _encode(value: Any) -> Any:
    """JSON of what the json module does not know: numpy values, bytes as base64 with line breaks, times as ISO 8601."""
    if _libraries.is_ndarray(value):
        if value.dtype.kind == "S":
            return [_encode(item) for item in value] if value.ndim else _encode(value.item())
        return value.tolist()
    if isinstance(value, (bytes, bytearray)):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} has no JSON form")
