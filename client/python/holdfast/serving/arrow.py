"""Arrow IPC, where pyarrow is installed."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pandas as pd

from holdfast.serving.errors import ServingError, bad_request

__all__ = ["frame_from_arrow", "frame_to_arrow"]


def frame_from_arrow(data: bytes) -> pd.DataFrame:
    """The DataFrame of an Arrow IPC stream.

    Raises:
        ServingError: It is none, or pyarrow is absent.
    """
    arrow = _pyarrow()
    try:
        frame: pd.DataFrame = arrow.ipc.open_stream(data).read_all().to_pandas()
    except Exception as error:  # Arrow raises all sorts
        raise bad_request(f"arrow_stream is not an Arrow IPC stream: {error}.") from error
    return frame


def frame_to_arrow(frame: pd.DataFrame) -> bytes:
    """The Arrow IPC stream of a DataFrame, without its index.

    Raises:
        ServingError: A column holds what Arrow has no type for, or pyarrow is absent.
    """
    arrow = _pyarrow()
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    try:
        table = arrow.Table.from_pandas(frame, preserve_index=False)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise ServingError(
            ServingError.BAD_REQUEST, f"The predictions have no form in Arrow: {error}. Ask for another output_format."
        ) from error
    sink: Any = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _pyarrow() -> ModuleType:
    try:
        import pyarrow as pa
        import pyarrow.ipc
    except ImportError:
        raise ServingError(
            ServingError.UNSUPPORTED, "Arrow needs pyarrow at the server: pip install pyarrow there, or send a table."
        ) from None
    module: ModuleType = pa
    return module
