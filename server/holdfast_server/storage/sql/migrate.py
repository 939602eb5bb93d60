"""Brings a database to this version's schema: forward only, one process at a time, after a backup.

Each file ``migrations/NNNN_name.sql`` is one migration; sqlite-utils records which were applied.
"""

from __future__ import annotations

import fcntl
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_server.errors import DataLoss, FailedPrecondition, Unavailable
from holdfast_server.storage.durability import sync_directory
from holdfast_server.storage.sql.connection import Connection, DatabaseError, connect, inspect, migration_set, sqlite3
from holdfast_server.storage.sql.failures import failure_of

if TYPE_CHECKING:
    from sqlite_utils.migrations import Migrations

MIGRATION_SET = "holdfast"
# What follows the database's name in those of copies made before a migration, and ends those that are not whole.
_BEFORE, _PARTIAL = ".before-", ".partial"


def migrations() -> Migrations:
    """All migrations in their order."""
    found = migration_set(MIGRATION_SET)
    folder = resources.files("holdfast_server.storage.sql") / "migrations"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            _add(found, file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
    return found


def _add(found: Migrations, name: str, script: str) -> None:
    @found(name=name)
    def apply(db: object) -> None:
        for statement in split_statements(script):
            db.execute(statement)  # type: ignore[attr-defined]  # sqlite-utils has no type for it


def split_statements(script: str) -> list[str]:
    """Split a script at the semicolons that end statements (not those inside a trigger's body)."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current.strip())
            current = ""
    if current.strip() and not all(x.startswith("--") or not x.strip() for x in current.splitlines()):
        raise ValueError(f"migration ends inside a statement: {current.strip()[:80]!r}")
    return statements


def migrate(path: Path) -> None:
    """Create the database at ``path`` or bring it up to date.

    Raises:
        FailedPrecondition: A newer Holdfast wrote the database.
        Unavailable: A migration failed, such as for want of room; the database is as it was.
        DatabaseError: It cannot be opened, or is damaged.
    """
    with (path.parent / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = connect(path)
        try:
            _migrate(connection, path)
        finally:
            connection.close()


def applied_migrations(connection: Connection) -> list[str]:
    """The names of the migrations that made a database what it is."""
    return [m.name for m in migrations().applied(inspect(connection))]


def refuse_newer(connection: Connection) -> None:
    """Make sure that this version knows the schema of a database, or an older one.

    Raises:
        FailedPrecondition: A newer Holdfast wrote it.
    """
    unknown = set(applied_migrations(connection)) - {m.name for m in migrations()._migrations}  # noqa: SLF001 - sqlite-utils has no public list
    if unknown:
        raise FailedPrecondition(
            f"A newer Holdfast wrote this database (schema {max(unknown)}). Install that version or a later one."
        )


def copies_before_migrations(path: Path) -> list[Path]:
    """The copies of a database that were made before it was migrated, oldest first."""
    found = path.parent.glob(f"{path.name}{_BEFORE}*")
    return sorted((copy for copy in found if copy.suffix != _PARTIAL), key=lambda copy: copy.stat().st_mtime_ns)


def _migrate(connection: Connection, path: Path) -> None:
    refuse_newer(connection)
    database, known = inspect(connection), migrations()
    pending = known.pending(database)
    if not pending:
        return
    before, after = path.stat().st_size, pending[-1].name
    try:
        if known.applied(database):
            _back_up(connection, path.with_name(f"{path.name}{_BEFORE}{pending[0].name}"))
        # All of them or none: an older version must find its own schema when one fails or the process is killed.
        connection.execute("BEGIN IMMEDIATE")
        try:
            known.apply(database)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    except (DatabaseError, OSError) as error:
        if isinstance(failure_of(error), DataLoss):
            raise
        raise Unavailable(
            f"The database could not be brought to schema {after} and is as it was: {_why(error)}. Nothing is lost: "
            f"start the server again when that is mended (it needs some {_room(before)} MiB of room), or the version "
            "that you had before."
        ) from error


def _room(size: int) -> int:
    """MiB for a copy, and for a log of as much as is rewritten."""
    return (2 * size >> 20) + 1


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _back_up(connection: Connection, target: Path) -> None:
    """Copy the database; the copy has its name when it is whole and durable."""
    partial = target.with_name(target.name + _PARTIAL)
    partial.unlink(missing_ok=True)
    try:
        copy = sqlite3.connect(str(partial))
        try:
            connection.backup(copy)
        finally:
            copy.close()
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.chmod(0o600)
        partial.rename(target)
        sync_directory(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
