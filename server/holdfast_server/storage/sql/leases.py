"""Rows of leases."""

from __future__ import annotations

from datetime import datetime, timezone

from holdfast_server.errors import Conflict, FailedPrecondition, Reason
from holdfast_server.storage.sql.connection import Connection


class SqlLeases:
    """Implements ``LeaseRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def take(self, name: str, holder: str, description: str, length_ms: int) -> None:
        """Take a lease that nobody holds, or whose holder did not renew it."""
        row = self._connection.execute(
            "SELECT description, begin_time FROM leases WHERE name = ? AND expire_time > ?", (name, self._now_ms)
        ).fetchone()
        if row is not None:
            since = datetime.fromtimestamp(row["begin_time"] / 1000, tz=timezone.utc)
            raise FailedPrecondition(
                f"{row['description']} has been working on this store since {since:%Y-%m-%d %H:%M:%S} UTC. "
                f"Wait until it is done; should it have died, others may begin {length_ms // 1000} seconds later.",
                reason=Reason.UPKEEP_RUNNING,
                metadata={"holder": row["description"], "since": since.isoformat()},
            )
        self._connection.execute(
            "INSERT OR REPLACE INTO leases (name, holder, description, begin_time, expire_time) VALUES (?, ?, ?, ?, ?)",
            (name, holder, description, self._now_ms, self._now_ms + length_ms),
        )

    def renew(self, name: str, holder: str, length_ms: int) -> None:
        """Hold it longer; late is fine as long as nobody else took it."""
        cursor = self._connection.execute(
            "UPDATE leases SET expire_time = ? WHERE name = ? AND holder = ?",
            (self._now_ms + length_ms, name, holder),
        )
        if not cursor.rowcount:
            raise Conflict("This process was silent for so long that another one took over. Nothing is lost.")

    def release(self, name: str, holder: str) -> None:
        """Give it back; one that is somebody else's by now stays."""
        self._connection.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))
