"""Imports sqlite-utils without the libraries that it would take along."""

from __future__ import annotations

import sys

# sqlite-utils imports these when they are installed, to know their column types, which the server never uses: 90 MiB of
# memory and 0.4 s of each start, wherever a client with scikit-learn starts an embedded server.
_OPTIONAL = ("numpy", "pandas")


def import_sqlite_utils() -> None:
    """Make sqlite-utils importable by others, at its own cost only. Libraries that are loaded already stay."""
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python spells "cannot be imported"
    try:
        import sqlite_utils  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]


import_sqlite_utils()
