"""Logging artifacts of the active run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TextIO, overload

from holdfast import _content
from holdfast._active_run import active_run
from holdfast._connection import current_client
from holdfast._open_modes import FLUSH_INTERVAL, BinaryMode, OpenMode, TextMode
from holdfast._start_run import require_run
from holdfast.errors import InvalidArgumentError

if TYPE_CHECKING:
    from holdfast._client import Client


def log_artifact(
    local_path: str | os.PathLike[str],
    artifact_path: str | None = None,
    run_id: str | None = None,
    *,
    symlinks: str = "inside",
    synchronous: bool | None = None,
) -> Future[None] | None:
    """Store a file at ``<artifact_path>/<basename>``, or a directory with its tree below ``<artifact_path>/<dirname>``.

    When it returns, every byte is durable on the server and all became visible at once; when it raises, nothing is.

    Args:
        local_path: A file or directory.
        artifact_path: A directory among the run's artifacts; None for their root.
        run_id: The run; None for the active one. Without either a run begins, and ends with the program.
        symlinks: ``"inside"`` follows links that stay inside the directory and refuses others; ``"follow"`` follows
            all.
        synchronous: False to upload in the background and return a future, whose ``result`` raises what is listed
            below; ``flush`` and the ends of the run and the program wait for it, and tell when it failed. Do not change
            the files before.

    Raises:
        FileNotFoundError: ``local_path`` is not there; nothing was sent.
        LocalFileError: It cannot be read as it is: a socket, a link out of it, a file that changes meanwhile.
        InvalidArgumentError: A path breaks a rule; the message states it.
        NotFoundError: There is no such run.
        UnavailableError: The server is away. Unlike metrics, files do not wait in the journal.
    """

    def check() -> None:
        from holdfast._transfer.sources import find_path

        find_path(local_path, _content.directory_path(artifact_path), symlinks=symlinks)

    client, run_id = _target(run_id, check)
    return client.log_artifact(run_id, local_path, artifact_path, symlinks=symlinks, synchronous=synchronous)


def log_artifacts(
    local_dir: str | os.PathLike[str],
    artifact_path: str | None = None,
    run_id: str | None = None,
    *,
    symlinks: str = "inside",
    synchronous: bool | None = None,
) -> Future[None] | None:
    """Store a directory's contents below ``artifact_path``; otherwise as ``log_artifact``."""

    def check() -> None:
        from holdfast._transfer.sources import find_contents

        find_contents(local_dir, _content.directory_path(artifact_path), symlinks=symlinks)

    client, run_id = _target(run_id, check)
    return client.log_artifacts(run_id, local_dir, artifact_path, symlinks=symlinks, synchronous=synchronous)


def log_text(
    text: str, artifact_file: str, run_id: str | None = None, *, synchronous: bool | None = None
) -> Future[None] | None:
    """Store a text as UTF-8 in the file ``artifact_file``."""
    return log_bytes(_content.text_bytes(text), artifact_file, run_id, synchronous=synchronous)


def log_dict(
    dictionary: Any, artifact_file: str, run_id: str | None = None, *, synchronous: bool | None = None
) -> Future[None] | None:
    """Store a dictionary as it is now: YAML when ``artifact_file`` ends in .yaml or .yml, else JSON."""
    data = _content.dict_bytes(dictionary, _content.file_path(artifact_file))
    return log_bytes(data, artifact_file, run_id, synchronous=synchronous)


def log_bytes(
    data: bytes, artifact_file: str, run_id: str | None = None, *, synchronous: bool | None = None
) -> Future[None] | None:
    """Store bytes in the file ``artifact_file``; a copy of them with ``synchronous=False``, as in ``log_artifact``."""
    data, path = _content.raw_bytes(data), _content.file_path(artifact_file)
    client, run_id = _target(run_id)
    return client.log_bytes(run_id, data, path, synchronous=synchronous)


def log_figure(
    figure: Any,
    artifact_file: str,
    run_id: str | None = None,
    *,
    save_kwargs: Mapping[str, Any] | None = None,
    synchronous: bool | None = None,
) -> Future[None] | None:
    """Store a figure of matplotlib or plotly in the format of the file's ending."""
    path = _content.file_path(artifact_file)
    data = _content.figure_bytes(figure, path, save_kwargs or {})
    return log_bytes(data, path, run_id, synchronous=synchronous)


def log_image(  # noqa: PLR0917 - MLflow's own signature
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
) -> Future[None] | None:
    """Store an image of PIL or numpy, as one file or as a step of the series ``key``; see ``Client.log_image``."""
    path, data = _content.image_file(image, artifact_file, key=key, step=step, timestamp=timestamp)
    return log_bytes(data, path, run_id, synchronous=synchronous)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a DataFrame or a dict of columns as .json or .parquet; if the file is there, append to it."""
    path = _content.file_path(artifact_file)
    client, run_id = _target(run_id, lambda: _content.table_bytes(data, path, None))
    client.log_table(run_id, data, artifact_file)


def log_stream(fileobj: BinaryIO, artifact_file: str, run_id: str | None = None) -> None:
    """Store what ``fileobj.read`` yields, of unknown length, in bounded memory."""
    path = _content.file_path(artifact_file)
    if not callable(getattr(fileobj, "read", None)):
        raise InvalidArgumentError(f"log_stream takes a file object, not {type(fileobj).__name__}.")
    client, run_id = _target(run_id)
    client.log_stream(run_id, fileobj, path)


@overload
def open_artifact(
    artifact_file: str,
    mode: TextMode = ...,
    run_id: str | None = ...,
    *,
    encoding: str = ...,
    flush_interval: float = ...,
) -> TextIO: ...


@overload
def open_artifact(
    artifact_file: str, mode: BinaryMode, run_id: str | None = ..., *, flush_interval: float = ...
) -> BinaryIO: ...


def open_artifact(
    artifact_file: str,
    mode: str = "w",
    run_id: str | None = None,
    *,
    encoding: str = "utf-8",
    flush_interval: float = FLUSH_INTERVAL,
) -> IO[Any]:
    """Open an artifact for writing that others can follow meanwhile; see ``Client.open_artifact``."""
    path = _content.file_path(artifact_file)
    OpenMode.parse(mode, encoding, flush_interval)
    client, run_id = _target(run_id)
    # The overloads tell the kinds of mode apart; here it is either.
    open_any: Any = client.open_artifact
    opened: IO[Any] = open_any(run_id, path, mode, encoding=encoding, flush_interval=flush_interval)
    return opened


def _target(run_id: str | None, check: Callable[[], object] | None = None) -> tuple[Client, str]:
    """Which run is meant, and the client to reach it by.

    Args:
        run_id: None for the active one.
        check: Raises when what is to be logged breaks a rule. Called only where a run would begin for it, which must
            not be left behind; otherwise the client's own checks come soon enough.
    """
    if run_id is not None:
        return current_client(), run_id
    if check is not None and active_run() is None:
        check()
    run = require_run()
    return run.client, run.info.run_id
