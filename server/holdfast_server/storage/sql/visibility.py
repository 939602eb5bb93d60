"""SQL that leaves out what somebody may not read."""

from __future__ import annotations

from dataclasses import replace

from holdfast_server.domain.access import ResourceKind, Role, Viewer
from holdfast_server.services.search.query import SearchQuery
from holdfast_server.storage.sql.connection import Connection

# So many experiments are named one by one, which lets an index lead to their runs.
MOST_NAMED = 500
_GRANTED = "SELECT resource FROM grants WHERE principal = ? AND kind = ?"


def visible(viewer: Viewer | None, kind: ResourceKind, number: str) -> tuple[str, tuple[str | int, ...]]:
    """An expression that says whether the resource of a number may be read, with its values; None may read all."""
    if viewer is None:
        return "1 = 1", ()
    if not viewer.sees_granted:
        return "1 = 0", ()
    values = (viewer.principal, kind.value, int(Role.READ))
    if viewer.sees_all:
        return f"{number} NOT IN ({_GRANTED} AND role < ?)", values
    return f"{number} IN ({_GRANTED} AND role >= ?)", values


def narrowed(connection: Connection, query: SearchQuery, kind: ResourceKind) -> SearchQuery:
    """A search that finds the same and names the experiments that somebody may read, if these are few."""
    viewer = query.visible_to
    if viewer is None or viewer.sees_all or not viewer.sees_granted or kind is not ResourceKind.EXPERIMENT:
        return query
    rows = connection.execute(
        f"{_GRANTED} AND role >= ? LIMIT ?", (viewer.principal, kind.value, int(Role.READ), MOST_NAMED + 1)
    ).fetchall()
    granted = {row["resource"] for row in rows}
    if query.experiment_ids:
        granted &= set(query.experiment_ids)
    if not granted or len(rows) > MOST_NAMED:
        return query
    return replace(query, experiment_ids=tuple(sorted(granted)))
