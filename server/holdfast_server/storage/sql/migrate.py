"""Brings a database to this version's schema: forward only, one process at a time, after a backup.

Each file ``migrations/NNNN_name.sql`` is one migration; sqlite-utils records which were applied.
"""

from __future__ import annotations

import fcntl
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_server.errors import FailedPrecondition
from holdfast_server.storage.sql.connection import Connection, connect, inspect, migration_set, sqlite3

if TYPE_CHECKING:
    from sqlite_utils.migrations import Migrations

MIGRATION_SET = "holdfast"


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
    """
    with (path.parent / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = connect(path)
        try:
            _migrate(connection, path)
        finally:
            connection.close()


def _migrate(connection: Connection, path: Path) -> None:
    database, known = inspect(connection), migrations()
    applied = [m.name for m in known.applied(database)]
    unknown = set(applied) - {m.name for m in known._migrations}  # noqa: SLF001 - sqlite-utils has no public list
    if unknown:
        raise FailedPrecondition(
            f"A newer Holdfast wrote this database (schema {max(unknown)}). Install that version or a later one."
        )
    if not known.pending(database):
        return
    if applied:
        _back_up(connection, path.with_name(f"{path.name}.before-{known.pending(database)[0].name}"))
    known.apply(database)


def _back_up(connection: Connection, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    copy = sqlite3.connect(str(partial))
    try:
        connection.backup(copy)
    finally:
        copy.close()
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.rename(target)
