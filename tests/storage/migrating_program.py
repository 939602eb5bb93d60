"""A newer version that migrates a database: ``python migrating_program.py DATABASE [STEP]``.

It has two migrations more. With a step it kills itself before that statement, sync or rename, counted from 1.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from holdfast_server.storage.sql import migrate as migrating

LATER = {
    "9000_later": "ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT '';\n"
    "UPDATE runs SET colour = 'red', run_name = 'changed';\n"
    "CREATE TABLE later (later_no INTEGER PRIMARY KEY, data BLOB);\n"
    "INSERT INTO later (data) VALUES (zeroblob(4000000));\n",
    "9001_later_still": "CREATE INDEX runs_colour ON runs (colour);\nDELETE FROM run_params;\n",
}


def add_later_migrations() -> None:
    """Make this process that newer version."""
    known = migrating.migrations

    def more():
        found = known()
        for name, script in LATER.items():
            migrating._add(found, name, script)
        return found

    migrating.migrations = more


class Killer:
    """Ends this process at a step."""

    def __init__(self, step: int) -> None:
        self._left = step

    def passing(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_at(step: int) -> None:
    """Count what changes files: statements, syncs and renames."""
    killer, connect, fsync, rename = Killer(step), migrating.connect, os.fsync, Path.rename

    def traced(path: Path):
        connection = connect(path)
        connection.set_trace_callback(lambda text: None if text.startswith(("SELECT", "--")) else killer.passing())
        return connection

    def synced(descriptor: int) -> None:
        killer.passing()
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        killer.passing()
        return rename(path, target)

    migrating.connect, os.fsync, Path.rename = traced, synced, renamed


if __name__ == "__main__":
    add_later_migrations()
    if len(sys.argv) > 2:
        kill_at(int(sys.argv[2]))
    migrating.migrate(Path(sys.argv[1]))
