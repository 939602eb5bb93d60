"""Rows by which backups keep objects from being removed; they are leases, with names of their own."""

from __future__ import annotations

from holdfast_server.storage.sql.connection import Connection

_PREFIX = "pin:"
# Range and not LIKE, so that the primary key is used: ';' follows ':'.
IS_PINNED = "EXISTS (SELECT 1 FROM leases WHERE name >= 'pin:' AND name < 'pin;' AND expire_time > :now)"


class SqlPins:
    """Pins of one database. While there is one, no object is removed from the store for want of blocks."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def take(self, name: str, description: str, length_ms: int) -> None:
        """Hold one; those that expired are forgotten."""
        self._connection.execute(
            "DELETE FROM leases WHERE name >= 'pin:' AND name < 'pin;' AND expire_time <= ?", (self._now_ms,)
        )
        self._connection.execute(
            "INSERT INTO leases (name, holder, description, begin_time, expire_time) VALUES (?, ?, ?, ?, ?)",
            (_PREFIX + name, name, description, self._now_ms, self._now_ms + length_ms),
        )

    def renew(self, name: str, length_ms: int) -> bool:
        """Hold it longer; false when it expired, for then objects may have been removed."""
        cursor = self._connection.execute(
            "UPDATE leases SET expire_time = ? WHERE name = ? AND expire_time > ?",
            (self._now_ms + length_ms, _PREFIX + name, self._now_ms),
        )
        return bool(cursor.rowcount)

    def release(self, name: str) -> None:
        """Give it back."""
        self._connection.execute("DELETE FROM leases WHERE name = ?", (_PREFIX + name,))
