"""Rows of the leases of runs."""

from __future__ import annotations

from holdfast_server.storage.sql.connection import Connection


class SqlRunLeases:
    """Implements ``RunLeaseRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def hold(self, run_number: int, length_ms: int, *, embedded: bool) -> None:
        """Take or renew a lease from now on; the run is not lost."""
        self._connection.execute(
            "INSERT INTO run_leases (run_no, length, renew_time, expire_time, embedded) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (run_no) DO UPDATE SET length = excluded.length, renew_time = excluded.renew_time,"
            " expire_time = excluded.expire_time, embedded = excluded.embedded",
            (run_number, length_ms, self._now_ms, self._now_ms + length_ms, embedded),
        )
        self._clear_lost(run_number)

    def renew(self, run_number: int) -> bool:
        """Renew a lease for as long as before, if the run has one that was ever taken; whether it is not lost now."""
        statement = "UPDATE run_leases SET renew_time = ?, expire_time = ? + length WHERE run_no = ? AND length > 0"
        if not self._connection.execute(statement, (self._now_ms, self._now_ms, run_number)).rowcount:
            return False
        self._clear_lost(run_number)
        return True

    def release(self, run_number: int) -> None:
        """End a lease, if there is one; the run is not lost."""
        if self._connection.execute("DELETE FROM run_leases WHERE run_no = ?", (run_number,)).rowcount:
            self._clear_lost(run_number)

    def can_expire(self) -> bool:
        """Whether there are leases, or workers' tokens, that have not run out."""
        leases = "SELECT 1 FROM run_leases WHERE expire_time IS NOT NULL LIMIT 1"
        workers = (
            "SELECT 1 FROM worker_tokens w JOIN tokens t USING (token_id)"
            " WHERE w.ended = 0 AND t.expire_time > (SELECT time FROM lease_beat) LIMIT 1"
        )
        return any(self._connection.execute(statement).fetchone() for statement in (leases, workers))

    def last_beat(self) -> int:
        """When a server last looked after the leases."""
        return int(self._connection.execute("SELECT time FROM lease_beat").fetchone()["time"])

    def beat(self) -> None:
        """Record that a server does so now."""
        self._connection.execute("UPDATE lease_beat SET time = ?", (self._now_ms,))

    def prolong(self, since_ms: int) -> None:
        """Let the time from ``since_ms`` until now not count, for leases that have not run out."""
        self._connection.execute(
            "UPDATE run_leases SET expire_time = expire_time + MAX(0, ? - MAX(?, renew_time))"
            " WHERE expire_time IS NOT NULL",
            (self._now_ms, since_ms),
        )

    def expire_embedded(self) -> None:
        """End at once what was held through an embedded server."""
        self._connection.execute(
            "UPDATE run_leases SET expire_time = MIN(expire_time, ?) WHERE embedded = 1 AND expire_time IS NOT NULL",
            (self._now_ms,),
        )

    def list_expired(self, limit: int) -> list[str]:
        """Ids of runs that are to be marked as lost now; leases of runs that do not go on are removed."""
        rows = self._connection.execute(
            "SELECT run_no, run_id, status = 'RUNNING' AND lifecycle = 'active' AS goes_on"
            " FROM run_leases JOIN runs USING (run_no)"
            " WHERE expire_time <= ? LIMIT ?",
            (self._now_ms, limit),
        ).fetchall()
        for row in rows:
            if not row["goes_on"]:
                self.release(row["run_no"])
        return [row["run_id"] for row in rows if row["goes_on"]]

    def set_lost(self, run_number: int) -> None:
        """Mark a run as lost."""
        self._connection.execute("UPDATE runs SET lost = 1 WHERE run_no = ?", (run_number,))
        self._connection.execute(
            # One without a lease gets one that nobody took, so that what ends leases finds it.
            "INSERT INTO run_leases (run_no, length, renew_time, expire_time, embedded) VALUES (?, 0, ?, NULL, 0)"
            " ON CONFLICT (run_no) DO UPDATE SET expire_time = NULL",
            (run_number, self._now_ms),
        )

    def _clear_lost(self, run_number: int) -> None:
        self._connection.execute("UPDATE runs SET lost = 0 WHERE run_no = ? AND lost = 1", (run_number,))
