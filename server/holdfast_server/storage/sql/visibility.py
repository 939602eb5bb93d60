"""SQL that leaves out what somebody may not read."""

from __future__ import annotations

from holdfast_server.domain.access import ResourceKind, Role, Viewer


def visible(viewer: Viewer | None, kind: ResourceKind, number: str) -> tuple[str, tuple[str | int, ...]]:
    """An expression that says whether the resource of a number may be read, with its values; None may read all."""
    if viewer is None:
        return "1 = 1", ()
    if not viewer.sees_granted:
        return "1 = 0", ()
    values = (viewer.principal, kind.value, int(Role.READ))
    granted = "SELECT resource FROM grants WHERE principal = ? AND kind = ?"
    if viewer.sees_all:
        return f"{number} NOT IN ({granted} AND role < ?)", values
    return f"{number} IN ({granted} AND role >= ?)", values
