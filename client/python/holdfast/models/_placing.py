"""Puts files of a package where code that takes paths finds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from holdfast.errors import NotFoundError
from holdfast.models._lasting import directory_for
from holdfast.models._reader import Package
from holdfast.models._sources import LocalFiles, check_inside

__all__ = ["PlacedFiles"]


class PlacedFiles:
    """Files of a package on disk, each checked when it was put there, for as long as this lives.

    Of a package that is on disk already these are its own files, which may change after they were checked.

    Attributes:
        root: What stands for the package's directory.
    """

    def __init__(self, package: Package, paths: Iterable[Any] | None) -> None:
        """Place the files and directories ``paths``, as MLmodel names them; None for all of the package.

        Raises:
            InvalidArgumentError: One leads out of the package.
            NotFoundError: One is not there.
            DataLossError: A file is not the one that was saved.
        """
        names = list(package.files.names())
        wanted = names if paths is None else [name for path in paths for name in _below(path, names)]
        if isinstance(package.files, LocalFiles):
            self.root = package.files.directory
            for name in dict.fromkeys(wanted):
                package.check(name)
            return
        self.root = directory_for(self, "holdfast-model-")
        for name in dict.fromkeys(wanted):
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(package.read(name))

    def path(self, path: Any) -> Path:
        """Where the file or directory ``path`` of the package is."""
        return (self.root / check_inside(path)).absolute()


def _below(path: Any, names: list[str]) -> list[str]:
    inside = check_inside(path)
    found = [name for name in names if name == inside or name.startswith(f"{inside}/")]
    if not found:
        raise NotFoundError(f"MLmodel names {inside!r}, which the package does not have.")
    return found
