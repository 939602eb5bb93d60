"""Copies code and extra files into a package."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError, LocalFileError

__all__ = [
    "CODE_DIRECTORY",
    "EXTRA_DIRECTORY",
    "check_model_uri",
    "check_paths",
    "copy_into",
    "is_remote",
    "local_path",
]

CODE_DIRECTORY = "code"
EXTRA_DIRECTORY = "extra_files"


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` is a URI to download: it has a scheme other than ``file`` and no such file exists."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(path))  # a drive letter is no scheme
    return match is not None and match[1] != "file" and not Path(path).exists()


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return where a path or ``file:`` URI leads."""
    text = os.fspath(path)
    if text.startswith("file:") and not Path(text).exists():
        from urllib import parse, request  # costs as much as the rest of this package

        text = request.url2pathname(parse.urlsplit(text).path)
    return Path(text).expanduser()


def check_model_uri(model_uri: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return it.

    Raises:
        InvalidArgumentError: It is no path and no URI, or is empty.
    """
    if not isinstance(model_uri, (str, os.PathLike)) or not os.fspath(model_uri):
        raise InvalidArgumentError(
            f"model_uri must be the path of a directory or a URI such as models:/<name>/1, not {model_uri!r:.80}."
        )
    return model_uri


def check_paths(
    paths: Sequence[str | os.PathLike[str]] | None, argument: str, *, remote: bool = False
) -> tuple[str, ...]:
    """Return ``paths`` after checking that they can be copied side by side.

    Args:
        paths: Files and directories.
        argument: The name of the argument, for errors.
        remote: Whether artifact URIs are allowed too; they are not looked up.

    Raises:
        InvalidArgumentError: It is no list of paths, or two of them have the same last component.
        FileNotFoundError: A local one is missing.
    """
    if paths is None:
        return ()
    if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
        raise InvalidArgumentError(f"{argument} must be a list of paths, not {type(paths).__name__}.")
    items: list[Any] = list(paths)
    for item in items:
        if not isinstance(item, (str, os.PathLike)):
            raise InvalidArgumentError(f"{argument} must be a list of paths, and has {item!r:.80} in it.")
    names: dict[str, str] = {}
    for path in [os.fspath(item) for item in items]:
        if not (remote and is_remote(path)) and not Path(path).exists():
            raise FileNotFoundError(f"{argument} names {path!r}, which does not exist.")
        if (name := _last_component(path)) in names:
            raise InvalidArgumentError(f"{argument} names {names[name]!r} and {path!r}, which both become {name!r}.")
        names[name] = path
    return tuple(names.values())


def _last_component(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] if is_remote(path) else Path(path).resolve().name


def copy_into(paths: Iterable[str], directory: Path) -> list[str]:
    """Copy each of ``paths`` below ``directory`` under its own last component, and return those names.

    ``__pycache__`` directories are left out. Symbolic links become what they point to.

    Raises:
        LocalFileError: Something in them cannot be copied: a broken link, a socket, an unreadable file.
    """
    names = []
    for path in paths:
        name = _last_component(path)
        target = directory / name
        directory.mkdir(parents=True, exist_ok=True)
        try:
            if is_remote(path):
                _download(path, directory)
            elif Path(path).is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, target)
        except (shutil.Error, shutil.SpecialFileError, PermissionError) as error:
            raise LocalFileError(f"{path} cannot be copied into the model package: {error}") from error
        names.append(name)
    return names


def _download(uri: str, directory: Path) -> None:
    from holdfast import fluent

    fluent.current_client().download_artifacts(artifact_uri=uri, dst_path=str(directory))
