"""Inserts many rows by few statements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from holdfast_server.storage.sql.connection import Connection

# Rows of one statement, the largest that fit first. Any other number is one more large statement in the cache.
# With up to ten columns even the largest stays well below SQLite's limit of 32,766 variables.
BATCHES = (1_000, 100, 10, 1)


def insert_rows(connection: Connection, into: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, all of one length.

    ``executemany`` gives the interpreter's lock away and takes it again for each row, and so waits for other threads
    as often; here that happens once for a thousand.

    Args:
        connection: Of a transaction.
        into: The table with its columns, as in ``t (a, b)``.
        rows: Their values.
    """
    if not rows:
        return
    width = len(rows[0])
    start = 0
    for batch in BATCHES:
        while len(rows) - start >= batch:
            connection.execute(_statement(into, width, batch), list(chain.from_iterable(rows[start : start + batch])))
            start += batch


@lru_cache(64)
def _statement(into: str, width: int, count: int) -> str:
    row = f"({','.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {','.join([row] * count)}"  # noqa: S608 - of constants
