"""Which blocks a caller may know of: what it sent itself, and what something refers to that it may read."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_server.domain.access import ResourceKind, Viewer
from holdfast_server.storage.sql.blocks import TOUCH_EVERY_MS, chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.visibility import visible

# Files in trees that are looked at for one block. A block that so many files of others have is asked for again sooner
# than the writer of it could be kept waiting with thousands of such.
MAX_REFERENCES = 1_000

_SENT = "EXISTS (SELECT 1 FROM block_uploads u WHERE u.block_id = b.block_id AND u.principal = ?)"
# CROSS JOIN: from the block to its files, whatever the planner believes of tables that were small when it looked.
_IN_FILES = """
EXISTS (
 SELECT 1 FROM (
  SELECT e.tree_id, e.path, e.commit_id FROM file_blocks fb
  CROSS JOIN entries e INDEXED BY entries_file ON e.file_id = fb.file_id
  WHERE fb.block_id = b.block_id LIMIT {limit}
 ) e CROSS JOIN commits c ON c.commit_id = e.commit_id CROSS JOIN trees t ON t.tree_id = e.tree_id
 WHERE c.sequence IS NOT NULL AND ({owner} OR {version}))
"""
_IN_LIVE = """
EXISTS (
 SELECT 1 FROM live_segments s CROSS JOIN live_files l USING (live_no) CROSS JOIN trees t USING (tree_id)
 WHERE s.block_id = b.block_id AND {owner})
"""
_OWNER = """
(EXISTS (SELECT 1 FROM runs r WHERE r.run_id = t.owner AND {run})
 OR EXISTS (SELECT 1 FROM logged_models m WHERE m.model_id = t.owner AND {model}))
"""
# A version shows, at or below its path, what its snapshot has there: not what was replaced before.
_VERSION = """
EXISTS (
 SELECT 1 FROM model_versions v JOIN registered_models g USING (registered_no)
 WHERE v.owner = t.owner AND v.sequence >= c.sequence
 AND (v.path = '' OR e.path = v.path OR substr(e.path, 1, length(v.path) + 1) = v.path || '/')
 AND {visible} AND NOT EXISTS (
  SELECT 1 FROM entries n JOIN commits nc ON nc.commit_id = n.commit_id
  WHERE n.tree_id = e.tree_id AND n.path = e.path AND nc.sequence > c.sequence AND nc.sequence <= v.sequence))
"""


class SqlKnownBlocks:
    """Blocks as somebody sees them who may not see everything."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def find(self, digests: Sequence[bytes], viewer: Viewer) -> dict[bytes, tuple[int, int]]:
        """Block id and size of those that are present for a caller."""
        condition, values = _known_to(viewer)
        found: dict[bytes, tuple[int, int]] = {}
        for part in chunks(digests):
            rows = self._connection.execute(
                "SELECT b.digest, b.block_id, b.size FROM blocks b"  # noqa: S608 - of constants
                f" WHERE b.state = 0 AND b.digest IN ({marks(len(part))}) AND {condition}",
                (*part, *values),
            )
            found.update((bytes(digest), (block_id, size)) for digest, block_id, size in rows)
        return found

    def find_stale(self, digests: Sequence[bytes], viewer: Viewer) -> list[bytes]:
        """Those of what a caller knows of that were not touched for a minute, or not by the caller, who sent it."""
        found: list[bytes] = []
        before = self._now_ms - TOUCH_EVERY_MS
        for part in chunks(digests):
            rows = self._connection.execute(
                "SELECT b.digest FROM blocks b"  # noqa: S608 - of constants
                " LEFT JOIN block_uploads u ON u.block_id = b.block_id AND u.principal = ?"
                f" WHERE b.digest IN ({marks(len(part))}) AND (b.touch_time < ? OR u.time < ?)",
                (viewer.principal, *part, before, before),
            )
            found.extend(bytes(row["digest"]) for row in rows)
        return found

    def touch(self, digests: Sequence[bytes], viewer: Viewer) -> None:
        """Remember for longer that a caller sent them, where it did."""
        for part in chunks(digests):
            self._connection.execute(
                "UPDATE block_uploads SET time = ? WHERE principal = ? AND block_id IN"  # noqa: S608 - of constants
                f" (SELECT block_id FROM blocks WHERE digest IN ({marks(len(part))}))",
                (self._now_ms, viewer.principal, *part),
            )

    def add_sent(self, digests: Sequence[bytes], viewer: Viewer) -> None:
        """Remember that a caller sent blocks that have rows."""
        for part in chunks(digests):
            self._connection.execute(
                "INSERT INTO block_uploads (block_id, principal, time)"  # noqa: S608 - of constants
                f" SELECT block_id, ?, ? FROM blocks WHERE digest IN ({marks(len(part))})"
                " ON CONFLICT (block_id, principal) DO UPDATE SET time = excluded.time",
                (viewer.principal, self._now_ms, *part),
            )


def _known_to(viewer: Viewer) -> tuple[str, tuple[str | int, ...]]:
    """The condition that block ``b`` is known to a caller, with its values."""
    if not viewer.sees_granted:
        return _SENT, (viewer.principal,)
    run, values = visible(viewer, ResourceKind.EXPERIMENT, "r.experiment_id")
    model, _ = visible(viewer, ResourceKind.EXPERIMENT, "m.experiment_id")
    version, of_version = visible(viewer, ResourceKind.REGISTERED_MODEL, "g.lineage")
    owner = _OWNER.format(run=run, model=model)
    in_files = _IN_FILES.format(limit=MAX_REFERENCES, owner=owner, version=_VERSION.format(visible=version))
    condition = f"({_SENT} OR {in_files} OR {_IN_LIVE.format(owner=owner)})"
    return condition, (viewer.principal, *values, *values, *of_version, *values, *values)
