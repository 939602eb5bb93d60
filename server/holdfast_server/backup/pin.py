"""Keeps garbage collection from removing objects while a backup copies them."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from holdfast_server.backup.errors import BackupError
from holdfast_server.storage.sql.connection import DatabaseError, connect
from holdfast_server.storage.sql.pins import SqlPins

T = TypeVar("T")
logger = logging.getLogger(__name__)

LENGTH_MS = 60_000
RENEW_SECONDS = 5.0


class Pin:
    """Held while a backup copies. Collections go on and mark what is unused; they remove it once no pin is left.

    It is a row that expires, so that a backup which was killed holds nothing for longer than a minute.
    """

    def __init__(self) -> None:
        self._lost = threading.Event()

    @property
    def was_lost(self) -> bool:
        """Whether this process was silent for so long that objects may be gone."""
        return self._lost.is_set()

    def lose(self) -> None:
        """It expired."""
        self._lost.set()


@contextmanager
def pinned(database: Path) -> Iterator[Pin]:
    """Hold a pin. What the database needs once this is entered stays in the store until it is left.

    Raises:
        BackupError: The database cannot be written.
    """
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"
    description = f"Process {os.getpid()} on {socket.gethostname()} (making a backup)"
    pin, stop = Pin(), threading.Event()
    try:
        _change(database, lambda pins: pins.take(name, description, LENGTH_MS))
    except DatabaseError as error:
        raise BackupError(
            f"{database} cannot be written: {error}. A row in it keeps gc from removing what a backup needs."
        ) from error

    def renew() -> None:
        while not stop.wait(RENEW_SECONDS):
            try:
                if not _change(database, lambda pins: pins.renew(name, LENGTH_MS)):
                    pin.lose()
                    return
            except DatabaseError:
                logger.warning("the database was busy; the backup's pin is renewed later", exc_info=True)

    renewer = threading.Thread(target=renew, name="pin", daemon=True)
    renewer.start()
    try:
        yield pin
    finally:
        stop.set()
        renewer.join()
        try:
            _change(database, lambda pins: pins.release(name))
        except DatabaseError:
            logger.warning("the backup's pin was not given back; it expires in a minute")


def _change(database: Path, change: Callable[[SqlPins], T]) -> T:
    connection = connect(database)
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = change(SqlPins(connection, time.time_ns() // 1_000_000))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result
    finally:
        connection.close()
