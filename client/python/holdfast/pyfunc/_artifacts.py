"""Copies what a Python model needs into its package."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._files import is_remote, local_path

__all__ = ["check_artifacts", "copy_artifacts"]

DIRECTORY = "artifacts"


def check_artifacts(artifacts: Any) -> dict[str, str]:
    """Return artifacts, paths or URIs by name.

    Raises:
        InvalidArgumentError: It is no mapping of names to paths.
        FileNotFoundError: A local one is missing.
    """
    if artifacts is None:
        return {}
    if not isinstance(artifacts, Mapping):
        raise InvalidArgumentError(
            f"artifacts must be a dictionary of names and paths or URIs, not {type(artifacts).__name__}."
        )
    checked = {}
    for name, source in artifacts.items():
        if not isinstance(name, str) or not name or not isinstance(source, (str, os.PathLike)):
            raise InvalidArgumentError(f"artifacts must map names to paths or URIs, got {name!r}: {source!r}.")
        if not is_remote(source) and not local_path(source).exists():
            raise FileNotFoundError(f"artifacts names {os.fspath(source)!r}, which does not exist.")
        checked[name] = os.fspath(source)
    return checked


def copy_artifacts(artifacts: Mapping[str, str], directory: Path) -> dict[str, dict[str, str]]:
    """Copy them below ``artifacts/`` of the package ``directory``; return what MLmodel says of them.

    Each keeps its own last component, below a number where two have the same.
    """
    base = directory / DIRECTORY
    placed: dict[str, str] = {}
    for source in dict.fromkeys(artifacts.values()):
        base.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as temporary:
            if is_remote(source):
                from holdfast import fluent

                found = Path(fluent.current_client().download_artifacts(artifact_uri=source, dst_path=temporary))
            else:
                found = local_path(source).resolve()
            whole = found == Path(temporary)
            target = _free(base, "" if whole else found.name)
            if is_remote(source) and not whole:
                shutil.move(found, target)
            elif found.is_dir():
                shutil.copytree(found, target)
            else:
                shutil.copy(found, target)
        placed[source] = target.relative_to(directory).as_posix()
    return {name: {"path": placed[source], "uri": source} for name, source in artifacts.items()}


def _free(base: Path, name: str) -> Path:
    if name and not _taken(base, name):
        return base / name
    number = next(number for number in range(len(list(base.iterdir())) + 1) if not _taken(base, str(number)))
    if not name:
        return base / str(number)
    (base / str(number)).mkdir()
    return base / str(number) / name


def _taken(base: Path, name: str) -> bool:
    return name.casefold() in {other.name.casefold() for other in base.iterdir()}  # also where case does not count
