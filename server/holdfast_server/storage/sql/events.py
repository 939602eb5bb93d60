"""Rows of events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.event import Change, Event, EventType, MetricChange, Scope, Subject
from holdfast_server.storage.sql.connection import Connection

KEPT_MS = 7 * 24 * 3600 * 1000
# About 1 GB of events.
MAX_KEPT = 5_000_000

_ADD = """
INSERT INTO events (time, principal, subject, number, experiment_id, type, id, version, alias, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class SqlEvents:
    """Implements ``EventRepository``.

    Attributes:
        appended: Whether this transaction added events.
    """

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms
        self.appended = False

    def append(self, event: Event) -> None:
        """Record an event, with the transaction's time and the next sequence."""
        self.appended = True
        self._connection.execute(
            _ADD,
            (
                self._now_ms,
                event.principal,
                event.subject.value,
                event.number,
                event.experiment_id,
                event.type.value,
                event.id,
                event.version,
                event.alias,
                _payload(event),
            ),
        )

    def newest(self) -> int:
        """The sequence of the newest event ever; 0 when there was none."""
        row = self._connection.execute("SELECT MAX(sequence) AS newest FROM events").fetchone()
        return int(row["newest"] or 0)

    def forgotten(self) -> int:
        """The sequence up to which events are not kept any more; 0 when all are."""
        return (self._first() or 1) - 1

    def list_all(self, after: int, limit: int) -> list[Event]:
        """Events behind ``after``, in their order."""
        return self._list("1 = 1", (), after, limit)

    def list_of(self, scope: Scope, after: int, limit: int) -> list[Event]:
        """Events of a scope behind ``after``, in their order."""
        if scope.experiment_id is None:
            return self._list("experiment_id IS NULL AND number = ?", (scope.number,), after, limit)
        if scope.subject is Subject.EXPERIMENT:
            return self._list("experiment_id = ?", (scope.experiment_id,), after, limit)
        return self._list(
            "experiment_id = ? AND"
            " ((subject = 'RUN' AND number = ?) OR (subject = 'EXPERIMENT' AND type IN ('DELETED', 'RESTORED')))",
            (scope.experiment_id, scope.number),
            after,
            limit,
        )

    def delete_expired(self, limit: int = 5_000) -> int:
        """Forget events that are too old or too many, the oldest first, a bounded number at a time; returns the count.

        What is kept is always a whole end of the sequence, also where the clock was set back; the newest stays.
        """
        first = self._first()
        if first is None:
            return 0
        newest = self.newest()
        last = min(first + limit, newest) - 1
        row = self._connection.execute(
            "SELECT MIN(sequence) AS kept FROM events WHERE sequence BETWEEN ? AND ? AND sequence > ? AND time >= ?",
            (first, last, newest - MAX_KEPT, self._now_ms - KEPT_MS),
        ).fetchone()
        if row["kept"] is not None:
            last = row["kept"] - 1
        return int(self._connection.execute("DELETE FROM events WHERE sequence <= ?", (last,)).rowcount)

    def _first(self) -> int | None:
        first: int | None = self._connection.execute("SELECT MIN(sequence) AS first FROM events").fetchone()["first"]
        return first

    def _list(self, where: str, values: Sequence[object], after: int, limit: int) -> list[Event]:
        rows = self._connection.execute(
            f"SELECT * FROM events WHERE {where} AND sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608 - of constants
            (*values, after, limit),
        )
        return [_event(row) for row in rows]


def _payload(event: Event) -> str:
    """What an event lists, as short as it can be written; empty when that is nothing."""
    parts: dict[str, Any] = {}
    if event.changes:
        parts["c"] = [(change.field, change.old, change.new) for change in event.changes]
    if event.metrics:
        parts["m"] = [(m.key, m.value, m.timestamp, m.step, m.count) for m in event.metrics]
    if event.truncated:
        parts["t"] = 1
    # NaN and infinities come back as they went, though other readers of JSON would not take them.
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False) if parts else ""


def _event(row: Any) -> Event:
    parts = json.loads(row["payload"]) if row["payload"] else {}
    return Event(
        subject=Subject(row["subject"]),
        type=EventType(row["type"]),
        number=row["number"],
        id=row["id"],
        experiment_id=row["experiment_id"],
        version=row["version"],
        alias=row["alias"],
        changes=tuple(Change(*change) for change in parts.get("c", ())),
        metrics=tuple(MetricChange(*metric) for metric in parts.get("m", ())),
        truncated="t" in parts,
        sequence=row["sequence"],
        time=row["time"],
        principal=row["principal"],
    )
