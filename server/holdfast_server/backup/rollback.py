"""Puts the database of before a migration back, for the version of Holdfast that it was made by."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from holdfast_server.backup.databases import describe, needed_objects, reading
from holdfast_server.backup.errors import BackupError
from holdfast_server.backup.stores import open_store
from holdfast_server.storage.durability import sync_directory
from holdfast_server.storage.sql.connection import DatabaseError, connect
from holdfast_server.storage.sql.migrate import copies_before_migrations


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What was done.

    Attributes:
        schema: The newest migration of the database that is in place now.
        made_time: When that database was as it is.
        kept: Where the other one is now.
        missing: How many objects it needs that a collection of garbage removed since.
    """

    schema: str
    made_time: datetime
    kept: Path
    missing: int


def roll_back(data_dir: Path, *, store: str = "", credentials_file: Path | None = None) -> RolledBack:
    """Put the newest copy that was made before a migration in the database's place. No server may be running.

    What was logged since the migration is in the database that is kept beside it, and in no other.

    Raises:
        BackupError: There is no such copy, or a server uses the directory.
        DomainError: The store cannot be used.
    """
    database = data_dir / "holdfast.db"
    copies = copies_before_migrations(database)
    if not copies:
        raise BackupError(
            f"There is no copy in {data_dir} that was made before a migration (holdfast.db.before-…). Restore a backup."
        )
    copy = copies[-1]
    # In the order in which servers take them; the first keeps them from starting until all is done.
    with (data_dir / "host.lock").open("a+") as host, (data_dir / "migrate.lock").open("w") as lock:
        try:
            fcntl.flock(host, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"A server is using {data_dir}. Stop it first.") from None
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _replace(database, copy, data_dir, store, credentials_file)


def _replace(database: Path, copy: Path, data_dir: Path, store: str, credentials_file: Path | None) -> RolledBack:
    made = datetime.fromtimestamp(copy.stat().st_mtime, tz=timezone.utc)
    try:
        with reading(copy) as connection:
            if any(row[0] != "ok" for row in connection.execute("PRAGMA integrity_check")):
                raise BackupError(f"{copy} is damaged; nothing was changed. Restore a backup.")
            known, objects = describe(connection), needed_objects(connection)
        there = {item.key for item in open_store(store or known.store, data_dir, credentials_file).list_objects()}
        kept = database.with_name(f"{database.name}.rolled-back-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
        if database.exists():
            _keep(database, kept)
        copy.replace(database)
        sync_directory(data_dir)
    except DatabaseError as error:
        raise BackupError(f"{copy} cannot be read: {error}. Nothing was changed. Restore a backup.") from error
    return RolledBack(known.schema, made, kept, len(objects.keys() - there))


def _keep(database: Path, kept: Path) -> None:
    """Give a database a second name, and no other; there is always one in its place."""
    with contextlib.suppress(DatabaseError):  # a damaged one is kept as it is
        connect(database).close()  # the last one to close moves the log into the file and removes it
    os.link(database, kept)
    for suffix in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).rename(kept.with_name(kept.name + suffix))
