"""Opens SQLite connections with the settings that durability needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

# isort: off
import holdfast_server.storage.sql.light_import  # noqa: F401 - first, for its effect
from sqlite_utils import Database as SqliteUtils
from sqlite_utils import utils
from sqlite_utils.migrations import Migrations

# isort: on

# The WAL-reset bug can corrupt a database with two or more connections; fixed in this version.
WAL_SAFE_SINCE = (3, 51, 3)
BUSY_TIMEOUT_MS = 10_000

# pysqlite3 where it is installed, which is sqlite-utils' own choice, else the standard library's.
sqlite3: Any = utils.sqlite3  # type: ignore[attr-defined]  # not in its __all__

# The module looks for two methods on each such value that is bound, to make another of it, and makes an error of each
# that it does not find: 1.7 µs where the value itself takes 0.1. For types with an adapter it only calls that. Enums
# and bools, of which it asks for the same, are given to statements as numbers.
for _kind in (bytes, NoneType):
    sqlite3.register_adapter(_kind, lambda value: value)

Connection = Any  # sqlite3.Connection or pysqlite3's; the two have no common type
sqlite_version: tuple[int, int, int] = sqlite3.sqlite_version_info
OperationalError: type[Exception] = sqlite3.OperationalError
IntegrityError: type[Exception] = sqlite3.IntegrityError
DatabaseError: type[Exception] = sqlite3.DatabaseError


def journal_mode() -> str:
    """``wal`` where the library is sound, else a rollback journal."""
    return "wal" if sqlite_version >= WAL_SAFE_SINCE else "delete"


def connect(path: Path, *, read_only: bool = False) -> Connection:
    """Open the database for one thread at a time.

    Transactions are begun explicitly (``isolation_level=None``); every commit is fsynced (``synchronous=FULL``).
    """
    connection = sqlite3.connect(
        str(path), timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.row_factory = sqlite3.Row
    for pragma in (
        f"journal_mode={journal_mode()}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-16384",
        "mmap_size=268435456",
        f"query_only={'ON' if read_only else 'OFF'}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def plain_rows(connection: Connection, statement: str, values: Sequence[Any]) -> Iterator[Any]:
    """The rows of a statement as tuples, for those that are many: they take a seventh less time to make."""
    cursor = connection.cursor()
    cursor.row_factory = None
    rows: Iterator[Any] = cursor.execute(statement, values)
    return rows


def inspect(connection: Connection) -> SqliteUtils:
    """Wrap a connection for migrations and inspection."""
    return SqliteUtils(connection)


def migration_set(name: str) -> Migrations:
    """An empty set of migrations, whose applied members sqlite-utils records under ``name``."""
    return Migrations(name)
