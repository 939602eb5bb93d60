"""Logging artifacts of the active run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from holdfast._connection import current_client
from holdfast._start_run import require_run

if TYPE_CHECKING:
    from holdfast._client import Client


def log_artifact(
    local_path: str | os.PathLike[str],
    artifact_path: str | None = None,
    run_id: str | None = None,
    *,
    symlinks: str = "inside",
) -> None:
    """Store a file at ``<artifact_path>/<basename>``, or a directory with its tree below ``<artifact_path>/<dirname>``.

    When it returns, every byte is durable on the server and all became visible at once; when it raises, nothing is.

    Args:
        local_path: A file or directory.
        artifact_path: A directory among the run's artifacts; None for their root.
        run_id: The run; None for the active one. Without either a run begins, and ends with the program.
        symlinks: ``"inside"`` follows links that stay inside the directory and refuses others; ``"follow"`` follows
            all.

    Raises:
        FileNotFoundError: ``local_path`` is not there; nothing was sent.
        LocalFileError: It cannot be read as it is: a socket, a link out of it, a file that changes meanwhile.
        InvalidArgumentError: A path breaks a rule; the message states it.
        NotFoundError: There is no such run.
    """
    client, run_id = _target(run_id, local_path)
    client.log_artifact(run_id, local_path, artifact_path, symlinks=symlinks)


def log_artifacts(
    local_dir: str | os.PathLike[str],
    artifact_path: str | None = None,
    run_id: str | None = None,
    *,
    symlinks: str = "inside",
) -> None:
    """Store a directory's contents below ``artifact_path``; otherwise as ``log_artifact``."""
    client, run_id = _target(run_id, local_dir)
    client.log_artifacts(run_id, local_dir, artifact_path, symlinks=symlinks)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Store a text as UTF-8 in the file ``artifact_file``."""
    client, run_id = _target(run_id)
    client.log_text(run_id, text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a dictionary: YAML when ``artifact_file`` ends in .yaml or .yml, else JSON."""
    client, run_id = _target(run_id)
    client.log_dict(run_id, dictionary, artifact_file)


def log_bytes(data: bytes, artifact_file: str, run_id: str | None = None) -> None:
    """Store bytes in the file ``artifact_file``."""
    client, run_id = _target(run_id)
    client.log_bytes(run_id, data, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Store a figure of matplotlib or plotly in the format of the file's ending."""
    client, run_id = _target(None)
    client.log_figure(run_id, figure, artifact_file, save_kwargs=save_kwargs)


def log_image(  # noqa: PLR0917 - MLflow's own signature
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = None,
) -> None:
    """Store an image of PIL or numpy, as one file or as a step of the series ``key``; see ``Client.log_image``."""
    del synchronous
    client, run_id = _target(None)
    client.log_image(run_id, image, artifact_file, key=key, step=step, timestamp=timestamp)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a DataFrame or a dict of columns as .json or .parquet; if the file is there, append to it."""
    client, run_id = _target(run_id)
    client.log_table(run_id, data, artifact_file)


def log_stream(fileobj: BinaryIO, artifact_file: str, run_id: str | None = None) -> None:
    """Store what ``fileobj.read`` yields, of unknown length, in bounded memory."""
    client, run_id = _target(run_id)
    client.log_stream(run_id, fileobj, artifact_file)


def _target(run_id: str | None, local_path: str | os.PathLike[str] | None = None) -> tuple[Client, str]:
    """Which run is meant, and the client to reach it by; a missing local path must not begin a run."""
    if run_id is not None:
        return current_client(), run_id
    if local_path is not None:
        os.stat(local_path)  # noqa: PTH116 - raises FileNotFoundError for str and PathLike alike
    run = require_run()
    return run.client, run.info.run_id
