"""Answers of mutations, kept so that a retry gets the same one."""

from __future__ import annotations

from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.services.ports.database import RequestKey
from holdfast_server.storage.sql.connection import Connection

KEPT_MS = 7 * 24 * 3600 * 1000


class SqlRequests:
    """The ``requests`` table within one transaction."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def find(self, key: RequestKey) -> bytes | None:
        """The answer given before, or None.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED, the id came with another payload.
        """
        row = self._connection.execute(
            "SELECT method, payload_hash, answer FROM requests WHERE principal = ? AND request_id = ?",
            (key.principal, key.request_id),
        ).fetchone()
        if row is None:
            return None
        if (row["method"], row["payload_hash"]) != (key.method, key.payload_hash):
            raise InvalidArgument(
                f"The request id {key.request_id!r} was used for another request. Use a new id for each change.",
                reason=Reason.REQUEST_ID_REUSED,
                field="request_id",
            )
        return bytes(row["answer"])

    def add(self, key: RequestKey, answer: bytes) -> None:
        """Keep an answer."""
        self._connection.execute(
            "INSERT INTO requests (principal, request_id, method, payload_hash, answer, create_time)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (key.principal, key.request_id, key.method, key.payload_hash, answer, self._now_ms),
        )

    def delete_expired(self, limit: int = 5_000) -> int:
        """Forget answers older than seven days, a bounded number at a time; the count is returned."""
        cursor = self._connection.execute(
            "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE create_time < ? LIMIT ?)",
            (self._now_ms - KEPT_MS, limit),
        )
        return int(cursor.rowcount)
