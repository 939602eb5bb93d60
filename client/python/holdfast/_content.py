"""Turns what users log into the bytes of a file."""

from __future__ import annotations

import io
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.format.paths import broken_rule

YAML_SUFFIXES = (".yaml", ".yml")
_IMAGE_DIMENSIONS = (2, 3)
_IMAGE_CHANNELS = (1, 3, 4)


def suffix_of(artifact_file: str) -> str:
    """The file's ending in lower case, such as ``".json"``; empty without one."""
    return PurePosixPath(artifact_file).suffix.lower()


def file_path(artifact_file: object) -> str:
    """Return ``artifact_file`` if an artifact can have that path.

    Raises:
        InvalidArgumentError: It cannot; the message states the rule.
    """
    rule = broken_rule(artifact_file) if isinstance(artifact_file, str) else "it must be a text"
    if rule:
        raise InvalidArgumentError(
            f"The artifact path {artifact_file!a:.200} is refused: {rule}.", reason="INVALID_PATH"
        )
    return str(artifact_file)


def directory_path(artifact_path: str | os.PathLike[str] | None) -> str | None:
    """Return ``artifact_path`` if a directory of artifacts can have that path; None for the root."""
    return file_path(os.fspath(artifact_path)) if artifact_path else None


def raw_bytes(data: object) -> bytes:
    """Return ``data`` if it is bytes, or a buffer of them as bytes."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InvalidArgumentError(f"log_bytes takes bytes, not {type(data).__name__}; log_text takes a text.")
    return bytes(data)


def image_file(
    image: Any, artifact_file: str | None, *, key: str | None, step: int | None, timestamp: int | None
) -> tuple[str, bytes]:
    """Path and bytes of an image that is a file of its own, or a step of the series ``key``.

    Raises:
        InvalidArgumentError: It is not said which of the two, or the image cannot be stored.
    """
    if (artifact_file is None) == (key is None):
        raise InvalidArgumentError("log_image takes either artifact_file, or key with step.")
    if artifact_file is None:
        at = time.time_ns() // 1_000_000 if timestamp is None else timestamp
        artifact_file = series_path(str(key), step or 0, at)
    elif step is not None or timestamp is not None:
        raise InvalidArgumentError("log_image takes step and timestamp with key only, not with artifact_file.")
    path = file_path(artifact_file)
    return path, image_bytes(image, path)


def text_bytes(text: str) -> bytes:
    """A text as UTF-8."""
    if not isinstance(text, str):
        raise InvalidArgumentError(f"log_text takes a text, not {type(text).__name__}; log_bytes takes bytes.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"The text is not valid Unicode: {error}") from None


def dict_bytes(dictionary: Any, artifact_file: str) -> bytes:
    """A dictionary as YAML or JSON, by the file's ending.

    Raises:
        InvalidArgumentError: It holds what the format cannot express.
    """
    try:
        if suffix_of(artifact_file) in YAML_SUFFIXES:
            import yaml

            try:
                text = yaml.safe_dump(
                    dictionary, indent=2, default_flow_style=False, sort_keys=False, allow_unicode=True
                )
            except yaml.YAMLError as error:
                raise InvalidArgumentError(f"The dictionary cannot be written as YAML: {error}") from None
            return text_bytes(str(text))
        return json.dumps(dictionary, indent=2).encode()
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(f"The dictionary cannot be written to {artifact_file}: {error}") from None


def figure_bytes(figure: Any, artifact_file: str, save_kwargs: Mapping[str, Any]) -> bytes:
    """A figure of matplotlib or plotly in the format of the file's ending.

    Raises:
        InvalidArgumentError: It is no such figure, or its library does not know the format.
    """
    suffix = suffix_of(artifact_file)
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        try:
            figure.savefig(buffer, **{"format": suffix[1:] or "png", **save_kwargs})
        except ValueError as error:
            raise InvalidArgumentError(f"The figure cannot be saved as {artifact_file}: {error}") from error
        return buffer.getvalue()
    if hasattr(figure, "write_html"):
        if suffix == ".html":
            return str(figure.to_html(**{"include_plotlyjs": "cdn", **save_kwargs})).encode()
        if suffix in (".png", ".jpeg", ".jpg", ".webp", ".svg", ".pdf"):
            return bytes(figure.to_image(format=suffix[1:], **save_kwargs))
        raise InvalidArgumentError(
            f"A plotly figure is saved as .html, .png, .jpeg, .webp, .svg or .pdf, not as {artifact_file!r}."
        )
    raise InvalidArgumentError(f"log_figure takes a figure of matplotlib or plotly, not {type(figure).__name__}.")


def image_bytes(image: Any, artifact_file: str) -> bytes:
    """An image of PIL or numpy in the format of the file's ending.

    Raises:
        InvalidArgumentError: It is no such image, or its values are out of range.
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Images need Pillow: pip install pillow") from error

    if not isinstance(image, Image.Image):
        image = Image.fromarray(_pixels(image))
    formats = Image.registered_extensions()
    suffix = suffix_of(artifact_file)
    if suffix not in formats:
        raise InvalidArgumentError(f"{artifact_file!r} ends in no image format that Pillow knows, such as .png.")
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=formats[suffix])
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"The image cannot be saved as {artifact_file}: {error}") from error
    return buffer.getvalue()


def _pixels(image: Any) -> Any:
    """An array of bytes of MLflow's kinds of images: booleans, integers 0 to 255, floats 0 to 1."""
    import numpy as np

    array = np.asarray(image)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in _IMAGE_DIMENSIONS or channels not in _IMAGE_CHANNELS or 0 in array.shape:
        raise InvalidArgumentError(
            "An image is a PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"not {array.shape}."
        )
    if array.ndim == 3 and channels == 1:
        array = array[:, :, 0]
    top = 1 if array.dtype.kind in "bf" else 255
    if array.dtype.kind not in "biuf":
        raise InvalidArgumentError(f"An image holds booleans, integers or floats, not {array.dtype}.")
    if not (array.min() >= 0 and array.max() <= top):  # NaN compares false
        raise InvalidArgumentError(f"Pixels of type {array.dtype} are from 0 to {top}; this image has others.")
    if top == 1:
        array = np.rint(array.astype(np.float64) * 255)
    return array.astype(np.uint8)


def series_path(key: str, step: int, timestamp: int) -> str:
    """Where an image of a series is kept, in the form that MLflow's interface reads."""
    name = key.replace("/", "#")
    return f"images/{name}+step+{step}+timestamp+{timestamp}+{secrets.token_hex(16)}.png"


def table_bytes(data: Any, artifact_file: str, existing: bytes | None) -> bytes:
    """A table as JSON in pandas' split orient, or as Parquet, appended to ``existing``.

    Raises:
        InvalidArgumentError: The file's ending is neither, or ``data`` is no table.
        ImportError: Parquet without pandas and pyarrow.
    """
    suffix = suffix_of(artifact_file)
    if suffix == ".json":
        return _json_table(data, existing)
    if suffix == ".parquet":
        return _parquet_table(data, existing)
    raise InvalidArgumentError(f"A table is kept as .json or .parquet, not as {artifact_file!r}.")


def _json_table(data: Any, existing: bytes | None) -> bytes:
    if hasattr(data, "to_json") and hasattr(data, "columns"):
        added = json.loads(data.to_json(orient="split", index=False, date_format="iso"))
    else:
        added = _split(data)
    columns, rows = added["columns"], added["data"]
    if existing is not None:
        before = json.loads(existing)
        columns = list(dict.fromkeys([*before["columns"], *added["columns"]]))
        rows = [*_aligned(before, columns), *_aligned(added, columns)]
    try:
        return json.dumps({"columns": columns, "data": rows}).encode()
    except TypeError as error:
        raise InvalidArgumentError(f"The table cannot be written as JSON: {error}") from None


def _split(data: Any) -> dict[str, list[Any]]:
    if not isinstance(data, Mapping) or not data:
        raise InvalidArgumentError(f"A table is a DataFrame or a dict of columns, not {type(data).__name__}.")
    # A dict of scalars is one row, as in MLflow.
    lists = {name: _cells(column) for name, column in data.items()}
    if len({len(cells) for cells in lists.values()}) != 1:
        raise InvalidArgumentError(
            "The columns of a table have one length; these have "
            + ", ".join(f"{name!r}: {len(cells)}" for name, cells in lists.items())
        )
    return {"columns": list(lists), "data": [list(row) for row in zip(*lists.values(), strict=True)]}


def _cells(column: Any) -> list[Any]:
    if hasattr(column, "tolist"):
        values = column.tolist()
        return values if isinstance(values, list) else [values]
    return list(column) if isinstance(column, (list, tuple)) else [column]


def _aligned(table: Mapping[str, list[Any]], columns: list[Any]) -> list[list[Any]]:
    if table["columns"] == columns:
        return table["data"]
    return [[dict(zip(table["columns"], row, strict=True)).get(column) for column in columns] for row in table["data"]]


def _parquet_table(data: Any, existing: bytes | None) -> bytes:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("Tables in Parquet need pandas and pyarrow: pip install pandas pyarrow") from error
    if isinstance(data, pd.DataFrame):
        frame = data
    else:
        split = _split(data)
        frame = pd.DataFrame(split["data"], columns=split["columns"])
    if existing is not None:
        frame = pd.concat([pd.read_parquet(io.BytesIO(existing)), frame], ignore_index=True)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
