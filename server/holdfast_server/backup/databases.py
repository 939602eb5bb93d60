"""Database files: copied at one moment while others write, and read without a trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast_server.backup.errors import BackupError
from holdfast_server.storage.sql.connection import Connection, DatabaseError, connect, sqlite3
from holdfast_server.storage.sql.migrate import applied_migrations, refuse_newer

PAGES = 4096


@dataclass(frozen=True, slots=True)
class StoreOfDatabase:
    """What a database says of itself.

    Attributes:
        store_id: Names the store of its blocks.
        store: How that was configured; empty for blocks in the data directory.
        schema: Its newest migration.
    """

    store_id: str
    store: str
    schema: str


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block within an object. ``is_lost``: it was counted as missing already."""

    digest: bytes
    offset: int
    size: int
    is_lost: bool


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment; others go on writing meanwhile (with a rollback journal they wait).

    Raises:
        DatabaseError: It cannot be read, or the copy not be written.
    """
    connection = connect(source, read_only=True)
    try:
        copy = sqlite3.connect(str(target), isolation_level=None)
        try:
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")  # synced when it is whole
            connection.execute("BEGIN")  # so that all steps see the same moment
            connection.execute("SELECT COUNT(*) FROM block_store").fetchone()
            connection.backup(copy, pages=PAGES)
            connection.execute("ROLLBACK")
        finally:
            copy.close()
    finally:
        connection.close()


@contextlib.contextmanager
def reading(database: Path) -> Iterator[Connection]:
    """Read a database that nobody changes, leaving no files beside it."""
    # A path may hold what means something in a URI.
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def identify(database: Path) -> StoreOfDatabase:
    """What a database in a data directory says of itself; other processes may be using it.

    Raises:
        BackupError: There is none, or no Holdfast that this one knows made it.
    """
    if not database.is_file():
        raise BackupError(
            f"There is no Holdfast store in {database.parent}. Name the server's data directory by --data-dir."
        )
    try:
        connection = connect(database, read_only=True)
        try:
            return describe(connection)
        finally:
            connection.close()
    except DatabaseError as error:
        raise BackupError(f"{database} cannot be read as a database: {error}.") from error


def describe(connection: Connection) -> StoreOfDatabase:
    """What a database says of itself.

    Raises:
        FailedPrecondition: A newer Holdfast wrote it.
    """
    refuse_newer(connection)
    applied = applied_migrations(connection)
    row = connection.execute("SELECT store_id, description FROM block_store").fetchone()
    # What the server writes there for blocks below the data directory is for people.
    store = row["description"] if row["description"].startswith("s3://") else ""
    return StoreOfDatabase(row["store_id"], store, max(applied))


def needed_objects(connection: Connection) -> dict[str, int]:
    """The sizes of the objects in which blocks are, by key."""
    rows = connection.execute(
        "SELECT object_key, size FROM objects o WHERE delete_time IS NULL"
        " AND EXISTS (SELECT 1 FROM blocks b WHERE b.object_id = o.object_id)"
    )
    return dict(map(tuple, rows))


def blocks_of(connection: Connection, key: str) -> list[StoredBlock]:
    """The blocks in an object."""
    rows = connection.execute(
        'SELECT b.digest, b."offset", b.size, b.state FROM objects o JOIN blocks b USING (object_id)'
        " WHERE o.object_key = ?",
        (key,),
    )
    return [StoredBlock(bytes(digest), offset, size, bool(state)) for digest, offset, size, state in rows]
