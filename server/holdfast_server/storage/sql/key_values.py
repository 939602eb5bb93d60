"""Tables of keys and values that hang on an owner: tags and params of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar

from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection, plain_rows


class _Pair(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> str: ...


P = TypeVar("P", bound=_Pair)
_OWNER = itemgetter(0)


class KeyValues:
    """One such table; ``owner`` is its column that refers to the owner.

    Names of tables and columns come from this package, never from callers of the server.
    """

    def __init__(self, connection: Connection, table: str, owner: str) -> None:
        self._connection, self._table, self._owner = connection, table, owner

    def set(self, owner: int, pairs: Iterable[_Pair]) -> None:
        """Add pairs, over earlier values of their keys."""
        self._connection.executemany(
            f"INSERT INTO {self._table} ({self._owner}, key, value) VALUES (?, ?, ?)"  # noqa: S608
            f" ON CONFLICT ({self._owner}, key) DO UPDATE SET value = excluded.value",
            [(owner, pair.key, pair.value) for pair in pairs],
        )

    def delete(self, owner: int, keys: Sequence[str]) -> list[str]:
        """Remove keys; returns those that were not there."""
        statement = f"DELETE FROM {self._table} WHERE {self._owner} = ? AND key = ?"  # noqa: S608
        return [key for key in keys if self._connection.execute(statement, (owner, key)).rowcount == 0]

    def get(self, owner: int, keys: Sequence[str]) -> dict[str, str]:
        """The values of those keys that are there."""
        found: dict[str, str] = {}
        for part in chunks(keys):
            rows = self._connection.execute(
                f"SELECT key, value FROM {self._table} WHERE {self._owner} = ? AND key IN ({marks(len(part))})",  # noqa: S608
                (owner, *part),
            )
            found.update((key, value) for key, value in rows)
        return found

    def page(self, make: Callable[[str, str], P], owner: int, after: str, limit: int) -> list[P]:
        """Pairs with keys after ``after``, in order of keys."""
        rows = self._connection.execute(
            f"SELECT key, value FROM {self._table} WHERE {self._owner} = ? AND key > ? ORDER BY key LIMIT ?",  # noqa: S608
            (owner, after, limit),
        )
        return [make(key, value) for key, value in rows]

    def load(
        self, make: Callable[[str, str], P], owners: Sequence[int], keys: Sequence[str] | None = None
    ) -> dict[int, list[P]]:
        """Pairs of many owners, all or those of some keys, in order of keys; owners without any have no entry."""
        found: dict[int, list[P]] = {}
        wanted, values = among(keys)
        for part in chunks(owners) if keys is None or keys else ():
            rows = plain_rows(
                self._connection,
                f"SELECT {self._owner}, key, value FROM {self._table} WHERE {self._owner} IN ({marks(len(part))})"  # noqa: S608
                f"{wanted} ORDER BY {self._owner}, key",
                (*part, *values),
            )
            for owner, pairs in groupby(rows, _OWNER):
                found[owner] = [make(key, value) for _, key, value in pairs]
        return found


def among(keys: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """What restricts a statement to some keys, with its values; nothing when ``keys`` is None."""
    return ("", ()) if keys is None else (f" AND key IN ({marks(len(keys))})", keys)
