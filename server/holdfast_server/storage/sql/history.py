"""Versions of paths that no snapshot needs: found a tree at a time, path by path, and deleted in bounded steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast_server.domain.artifacts import Kind
from holdfast_server.services.ports.upkeep import ObsoleteEntry, UnprunedTree
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection

# Paths with something to look at: several versions, or a removal, which shows nothing by itself.
_PATHS = """
SELECT e.path FROM entries e CROSS JOIN commits c ON c.commit_id = e.commit_id
WHERE e.tree_id = ? AND e.path > ? AND c.sequence IS NOT NULL
GROUP BY e.path HAVING COUNT(*) > 1 OR MIN(e.kind) = 0 OR ?
ORDER BY e.path LIMIT ?
"""
_VERSIONS = """
SELECT e.path, e.commit_id, e.kind, e.file_id, c.sequence
FROM entries e CROSS JOIN commits c ON c.commit_id = e.commit_id
WHERE e.tree_id = ? AND e.path = ? AND c.sequence IS NOT NULL ORDER BY c.sequence
"""


class SqlHistory:
    """Implements ``HistoryRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list_unpruned(self, after: int, limit: int, *, before_ms: int) -> tuple[list[UnprunedTree], int | None]:
        """Trees with something to prune, in order of ids, and the last id looked at, or None at the end."""
        rows = self._connection.execute(
            "SELECT tree_id, pruned_to, CASE purged WHEN 1 THEN sequence ELSE COALESCE(("
            "  SELECT c.sequence FROM commits c WHERE c.tree_id = t.tree_id AND c.commit_time <= ?"
            "  ORDER BY c.sequence DESC LIMIT 1), 0) END AS kept_from"
            " FROM trees t WHERE pruned_to < sequence AND tree_id > ? ORDER BY tree_id LIMIT ?",
            (before_ms, after, limit),
        ).fetchall()
        found = [UnprunedTree(*row) for row in rows if row["kept_from"] > row["pruned_to"]]
        return found, rows[-1]["tree_id"] if len(rows) == limit else None

    def close_before(self, tree: UnprunedTree) -> None:
        """Refuse reads of older snapshots from now on, so that none is ever shown in part."""
        self._connection.execute(
            "UPDATE trees SET kept_from = MAX(kept_from, ?) WHERE tree_id = ?", (tree.kept_from, tree.tree_id)
        )

    def find_obsolete(self, tree: UnprunedTree, after: str, limit: int) -> tuple[list[ObsoleteEntry], str | None]:
        """Entries of paths after ``after`` to delete, and the last path looked at, or None at the end.

        What this finds stays unused: only the newest snapshot is ever pinned, and a sealed commit gets no predecessor.
        """
        bounds = (tree.tree_id, after, tree.emptied, limit)
        paths = [row["path"] for row in self._connection.execute(_PATHS, bounds)]
        pins = self._pins(tree.tree_id)
        found = [entry for path in paths for entry in self._obsolete_versions(tree, path, pins)]
        return found, paths[-1] if len(paths) == limit else None

    def delete_entries(self, tree: UnprunedTree, entries: Sequence[ObsoleteEntry]) -> int:
        """Delete some entries, and commits that have none left."""
        cursor = self._connection.executemany(
            "DELETE FROM entries WHERE tree_id = ? AND path = ? AND commit_id = ?",
            [(tree.tree_id, entry.path, entry.commit_id) for entry in entries],
        )
        for part in chunks(sorted({entry.commit_id for entry in entries})):
            self._connection.execute(
                "DELETE FROM commits WHERE tree_id = ? AND sequence < ?"  # noqa: S608 - marks
                f" AND commit_id IN ({marks(len(part))})"
                " AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.commit_id = commits.commit_id)"
                " AND NOT EXISTS (SELECT 1 FROM model_versions v JOIN trees t ON t.owner = v.owner"
                "  WHERE t.tree_id = commits.tree_id AND v.sequence = commits.sequence)",
                (tree.tree_id, tree.kept_from, *part),
            )
        return int(cursor.rowcount)

    def finish(self, tree: UnprunedTree) -> None:
        """Remember that a tree is pruned, unless a pin went meanwhile."""
        self._connection.execute(
            "UPDATE trees SET pruned_to = ? WHERE tree_id = ? AND pruned_to = ?",
            (tree.kept_from, tree.tree_id, tree.pruned_to),
        )

    def _pins(self, tree_id: int) -> list[int]:
        rows = self._connection.execute(
            "SELECT DISTINCT v.sequence FROM model_versions v JOIN trees t ON t.owner = v.owner WHERE t.tree_id = ?",
            (tree_id,),
        )
        return [row["sequence"] for row in rows]

    def _obsolete_versions(self, tree: UnprunedTree, path: str, pins: Sequence[int]) -> Iterator[ObsoleteEntry]:
        """Versions of one path to delete; snapshots show each from its own sequence to before the next one's."""
        rows = self._connection.execute(_VERSIONS, (tree.tree_id, path)).fetchall()
        shown = False
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            end = following["sequence"] if following else tree.kept_from if tree.emptied else None
            kept = end is None or end > tree.kept_from or any(row["sequence"] <= pin < end for pin in pins)
            # A removal is needed only as long as there is something that it hides.
            if kept and (shown or row["kind"] != Kind.ABSENT or row["sequence"] > tree.kept_from):
                shown = True
            else:
                yield ObsoleteEntry(path, row["commit_id"], row["file_id"])
