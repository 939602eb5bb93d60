"""Temporary directories that last as long as an object."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

__all__ = ["directory_for"]


def directory_for(owner: object, prefix: str) -> Path:
    """Make a private directory, removed when ``owner`` is gone, or this process.

    A fork has the same objects and loses them earlier; that removes nothing.
    """
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    weakref.finalize(owner, _remove, directory, os.getpid())
    return directory


def _remove(directory: Path, maker: int) -> None:
    if os.getpid() == maker:
        shutil.rmtree(directory, ignore_errors=True)
