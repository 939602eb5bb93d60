"""Rows of the history of the registry, which are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_server.domain.access import ResourceKind, Viewer
from holdfast_server.domain.registry_history import Actor, Change, ChangeKind, RecordedChange
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.visibility import visible

_RENAMED = ChangeKind.MODEL_RENAMED.value
_ALIAS = ChangeKind.ALIAS_CHANGED.value


class SqlRegistryHistory:
    """Changes of registered models and versions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, changes: Sequence[Change], actor: Actor, *, now_ms: int) -> None:
        """Write down what ``actor`` changed; each model is there, by the name that the change tells."""
        self._connection.executemany(
            "INSERT INTO registry_history (lineage, name, version, kind, key, old_value, new_value, tree_digest,"
            " principal, user_id, change_time)"
            " VALUES ((SELECT lineage FROM registered_models WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    change.name,
                    change.name,
                    change.version,
                    change.kind.value,
                    change.key,
                    change.old,
                    change.new,
                    change.tree_digest or None,
                    actor.principal,
                    actor.user_id,
                    now_ms,
                )
                for change in changes
            ],
        )

    def list_before(
        self, name: str, version: int, before: int | None, limit: int, visible_to: Viewer | None = None
    ) -> list[RecordedChange]:
        """The newest changes with a lower number than ``before``; of one version unless that is 0.

        To a name belongs what happened under it, and what happened before to models that were renamed to it, as far as
        ``visible_to`` may read these models.
        """
        renamed = self._connection.execute(
            # The kind is no parameter, or the index on renamings alone would not be used.
            f"SELECT lineage, MAX(change_no) FROM registry_history WHERE kind = '{_RENAMED}'"  # noqa: S608
            " AND new_value = ? GROUP BY lineage",
            (name,),
        ).fetchall()
        scopes: list[tuple[str, tuple[object, ...]]] = [("name = ?", (name,))]
        scopes += [("lineage = ? AND change_no <= ?", (row[0], row[1])) for row in renamed]
        found: dict[int, Any] = {}
        shown, viewer = visible(visible_to, ResourceKind.REGISTERED_MODEL, "lineage")
        for where, values in scopes:
            for row in self._newest(f"{where} AND {shown}", (*values, *viewer), version, before, limit):
                found[row["change_no"]] = row
        return [_recorded(found[number]) for number in sorted(found, reverse=True)[:limit]]

    def _newest(
        self, where: str, values: tuple[object, ...], version: int, before: int | None, limit: int
    ) -> list[Any]:
        if version:
            where += f" AND (version = ? OR (kind = '{_ALIAS}' AND old_value = ?))"
            values = (*values, version, str(version))
        if before is not None:
            where += " AND change_no < ?"
            values = (*values, before)
        rows: list[Any] = self._connection.execute(
            f"SELECT * FROM registry_history WHERE {where} ORDER BY change_no DESC LIMIT ?",  # noqa: S608 - of constants
            (*values, limit),
        ).fetchall()
        return rows


def _recorded(row: Any) -> RecordedChange:
    change = Change(
        kind=ChangeKind(row["kind"]),
        name=row["name"],
        version=row["version"],
        key=row["key"],
        old=row["old_value"],
        new=row["new_value"],
        tree_digest=bytes(row["tree_digest"] or b""),
    )
    return RecordedChange(row["change_no"], row["change_time"], Actor(row["principal"], row["user_id"]), change)
