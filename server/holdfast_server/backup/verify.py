"""Checks a database and its objects: every row, and every byte of every block."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast_server.backup.copying import Copied, Progress, verify_objects
from holdfast_server.backup.databases import needed_objects
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.sql.checks import SqlChecks
from holdfast_server.storage.sql.connection import Connection

MAX_PROBLEMS = 1_000


@dataclass(slots=True)
class Verified:
    """What was found.

    Attributes:
        rows: What is wrong with the database, a sentence each.
        objects: What was read, and what of it is missing or damaged.
        tables: How many tables were checked.
        row_count: How many rows are in them.
    """

    rows: list[str] = field(default_factory=list)
    objects: Copied = field(default_factory=Copied)
    tables: int = 0
    row_count: int = 0

    @property
    def problems(self) -> list[str]:
        """All of them, a sentence each."""
        return [*self.rows, *(f"Object {key}: {problem}." for key, problem in sorted(self.objects.damaged.items()))]


def verify(connection: Connection, store: ObjectStore, progress: Progress) -> Verified:
    """Check every row of a database, and read every block that it has in a store.

    Raises:
        Unavailable: The store cannot be reached.
    """
    verified = Verified()
    for (text,) in map(tuple, connection.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")):
        if text != "ok":
            verified.rows.append(f"The database is damaged: {text}.")
    if verified.rows:
        return verified  # what it says of the objects cannot be relied on
    verified.rows += [finding.message for finding in SqlChecks(connection).find_inconsistencies(MAX_PROBLEMS)]
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in map(tuple, tables):
        verified.tables += 1
        verified.row_count += connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - a name of the schema
    verified.objects = verify_objects(needed_objects(connection), store=store, database=connection, progress=progress)
    return verified
