"""Rows of the audit log and of its segments."""

from __future__ import annotations

import json
from typing import Any

from holdfast_server.domain.audit import AuditFilter, AuditRecord, AuditSegment, Change
from holdfast_server.storage.sql.connection import Connection

_SEALED = (
    "(SELECT COALESCE(MAX(last_number), 0) FROM (SELECT last_number FROM audit_segments ORDER BY segment DESC LIMIT 1))"
)


class SqlAudit:
    """Implements ``AuditRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def append(self, change: Change, *, coalesce: bool) -> None:
        """Write a change down, or count it with one alike that is not sealed."""
        resources = json.dumps(change.resources, ensure_ascii=False, separators=(",", ":"))
        key = (change.principal, change.token_id, change.method, resources)
        if coalesce and self._count(key):
            return
        cursor = self._connection.execute(
            "INSERT INTO audit_records"
            " (time, last_time, count, principal, token_id, method, resources, request_id, details)"
            " VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)",
            (self._now_ms, self._now_ms, *key, change.request_id, change.details),
        )
        number = cursor.lastrowid
        self._connection.executemany(
            "INSERT OR IGNORE INTO audit_resources (resource, number) VALUES (?, ?)",
            [(resource, number) for resource in change.resources],
        )
        if coalesce:
            self._connection.execute(
                "INSERT INTO audit_open (principal, token_id, method, resources, number) VALUES (?, ?, ?, ?, ?)",
                (*key, number),
            )

    def _count(self, key: tuple[str, ...]) -> bool:
        row = self._connection.execute(
            "SELECT number FROM audit_open WHERE principal = ? AND token_id = ? AND method = ? AND resources = ?", key
        ).fetchone()
        if row is None:
            return False
        self._connection.execute(
            "UPDATE audit_records SET count = count + 1, last_time = MAX(last_time, ?) WHERE number = ?",
            (self._now_ms, row["number"]),
        )
        return True

    def newest_segment(self) -> AuditSegment | None:
        """The segment sealed last."""
        row = self._connection.execute("SELECT * FROM audit_segments ORDER BY segment DESC LIMIT 1").fetchone()
        return _segment(row) if row else None

    def waiting(self) -> tuple[int, int]:
        """How many records are not sealed, and the time of the first of them."""
        row = self._connection.execute(
            f"SELECT COUNT(*), COALESCE(MIN(time), 0) FROM audit_records WHERE number > {_SEALED}"  # noqa: S608 - constant
        ).fetchone()
        return int(row[0]), int(row[1])

    def list_waiting(self, limit: int) -> list[AuditRecord]:
        """Records that are not sealed, in their order."""
        rows = self._connection.execute(
            f"SELECT * FROM audit_records WHERE number > {_SEALED} ORDER BY number LIMIT ?",  # noqa: S608 - constant
            (limit,),
        )
        return [_record(row) for row in rows]

    def seal(self, segment: AuditSegment) -> None:
        """Add a segment; its records count nothing more."""
        self._connection.execute(
            "INSERT INTO audit_segments (segment, first_number, last_number, seal_time, previous_hash, hash)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                segment.number,
                segment.first_number,
                segment.last_number,
                segment.seal_time,
                segment.previous_hash,
                segment.hash,
            ),
        )
        self._connection.execute("DELETE FROM audit_open WHERE number <= ?", (segment.last_number,))

    def list_records(
        self, wanted: AuditFilter, after: int | None, limit: int, *, newest_first: bool
    ) -> list[AuditRecord]:
        """Records by their numbers, behind ``after`` in that order."""
        conditions = {
            "principal = ?": wanted.principal or None,
            "number IN (SELECT number FROM audit_resources WHERE resource = ?)": wanted.resource or None,
            "method = ?": wanted.method or None,
            "time >= ?": wanted.since,
            "time < ?": wanted.until,
            f"number {'<' if newest_first else '>'} ?": after,
        }
        given = {text: value for text, value in conditions.items() if value is not None}
        where = " AND ".join(["1 = 1", *given])
        order = "DESC" if newest_first else "ASC"
        rows = self._connection.execute(
            f"SELECT * FROM audit_records WHERE {where} ORDER BY number {order} LIMIT ?",  # noqa: S608 - of constants
            (*given.values(), limit),
        )
        return [_record(row) for row in rows]

    def list_segments(self, after: int, limit: int) -> list[AuditSegment]:
        """Segments by their numbers, behind ``after``."""
        rows = self._connection.execute(
            "SELECT * FROM audit_segments WHERE segment > ? ORDER BY segment LIMIT ?", (after, limit)
        )
        return [_segment(row) for row in rows]


def _record(row: Any) -> AuditRecord:
    return AuditRecord(
        number=row["number"],
        time=row["time"],
        last_time=row["last_time"],
        count=row["count"],
        principal=row["principal"],
        token_id=row["token_id"],
        method=row["method"],
        resources=_resources(row["resources"]),
        request_id=row["request_id"],
        details=row["details"],
    )


def _resources(text: str) -> tuple[str, ...]:
    """The list of a record; where somebody made something else of it, that is shown and no hash fits it."""
    try:
        found = json.loads(text)
    except ValueError:
        return (text,)
    return tuple(map(str, found)) if isinstance(found, list) else (text,)


def _segment(row: Any) -> AuditSegment:
    return AuditSegment(
        number=row["segment"],
        first_number=row["first_number"],
        last_number=row["last_number"],
        seal_time=row["seal_time"],
        previous_hash=bytes(row["previous_hash"]),
        hash=bytes(row["hash"]),
    )
