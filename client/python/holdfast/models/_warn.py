"""Warnings that point at the user's line, however deep inside this package they arise."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

__all__ = ["warn"]

_OWN = str(Path(__file__).parents[1])


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn as ``warnings.warn`` does, naming the nearest caller outside of Holdfast."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001 - what warnings.warn itself does; skip_file_prefixes is of Python 3.12
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level + 1)
