"""Listing, fetching and reading artifacts by URI.

A URI is ``runs:/<run_id>/<path>``, ``models:/<model_id>``, ``models:/<name>/<version>``, ``models:/<name>@<alias>`` or
``models:/<name>/latest``, each perhaps with a path at its end.
"""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, overload

from holdfast._checks import check_unicode
from holdfast._connection import current_client
from holdfast._content import YAML_SUFFIXES, suffix_of
from holdfast.entities import FileInfo
from holdfast.errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["delete_artifacts", "download_artifacts", "list_artifacts", "load_dict", "load_image", "load_text", "open"]


def list_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    *,
    recursive: bool = False,
) -> list[FileInfo]:
    """List one level of a directory of artifacts, or all below it.

    Args:
        artifact_uri: The directory; or
        run_id: the run, and
        artifact_path: the directory among its artifacts; None for their root.
        recursive: List everything below it.

    Raises:
        NotFoundError: It is not there.
    """
    from holdfast._artifacts import artifact_uri_of

    uri = artifact_uri_of(artifact_uri, run_id, artifact_path)
    return current_client().artifacts.list(uri, recursive=recursive)


def download_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    dst_path: str | os.PathLike[str] | None = None,
) -> str:
    """Fetch a file or directory, verified, and return its local path; see ``Client.download_artifacts``."""
    return current_client().download_artifacts(run_id, artifact_path, dst_path, artifact_uri=artifact_uri)


def delete_artifacts(run_id: str, artifact_path: str | None = None) -> None:
    """Remove a file or directory of a run, None for everything; see ``Client.delete_artifacts``."""
    current_client().delete_artifacts(run_id, artifact_path)


def load_text(artifact_uri: str) -> str:
    """Read a file as UTF-8."""
    data = current_client().artifacts.read_bytes(check_unicode(artifact_uri, "artifact_uri"))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"{artifact_uri} is not UTF-8 text ({error}); read it with open(uri, 'rb')."
        ) from None


def load_dict(artifact_uri: str) -> Any:
    """Read a JSON file, or YAML by its ending."""
    text = load_text(artifact_uri)
    if suffix_of(artifact_uri) in YAML_SUFFIXES:
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InvalidArgumentError(f"{artifact_uri} is not YAML: {error}") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidArgumentError(f"{artifact_uri} is not JSON: {error}") from None


def load_image(artifact_uri: str) -> Any:
    """Read an image as ``PIL.Image.Image``.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Images need Pillow: pip install pillow") from error
    return Image.open(io.BytesIO(current_client().artifacts.read_bytes(check_unicode(artifact_uri, "artifact_uri"))))


@overload
def open(artifact_uri: str, mode: Literal["rb"] = ...) -> BinaryIO: ...  # noqa: A001 - the contract's name


@overload
def open(artifact_uri: str, mode: Literal["r", "rt"], encoding: str = ...) -> TextIO: ...  # noqa: A001


def open(artifact_uri: str, mode: str = "rb", encoding: str = "utf-8") -> BinaryIO | TextIO:  # noqa: A001
    """Open a file for reading; a seekable reader that fetches the ranges asked for and verifies them.

    Args:
        artifact_uri: The file.
        mode: ``"rb"`` for bytes, ``"r"`` for text.
        encoding: Of the text.
    """
    if mode not in ("rb", "r", "rt"):
        raise InvalidArgumentError(f"Artifacts are opened for reading: mode is 'rb' or 'r', not {mode!r}.")
    reader: BinaryIO = current_client().artifacts.open(check_unicode(artifact_uri, "artifact_uri"))
    return reader if mode == "rb" else io.TextIOWrapper(reader, encoding=encoding)
