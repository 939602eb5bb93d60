"""Reading artifact trees as of a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from holdfast.format.digests import tree_digest
from holdfast_server.domain.artifacts import Entry, Extent, FileBlock, Kind, Owner, Tree
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection

# Visible entries: for each path the newest version up to a sequence, unless it is a removal.
_SELECT = """
SELECT e.path, e.kind, e.executable, e.file_id, COALESCE(f.size, 0) AS size, f.digest, c.sequence, c.commit_time
FROM entries e
JOIN commits c ON c.commit_id = e.commit_id
LEFT JOIN files f ON f.file_id = e.file_id
WHERE e.tree_id = (SELECT tree_id FROM trees WHERE owner = ?) AND c.sequence <= ? AND e.kind != 0
  AND NOT EXISTS (
    SELECT 1 FROM entries n JOIN commits nc ON nc.commit_id = n.commit_id
    WHERE n.tree_id = e.tree_id AND n.path = e.path AND nc.sequence > c.sequence AND nc.sequence <= ?)
"""


class SqlSnapshots:
    """The reading half of ``TreeRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def latest_sequence(self, owner: Owner) -> int:
        """Number of the newest visible commit; 0 when there is none."""
        row = self._connection.execute("SELECT sequence FROM trees WHERE owner = ?", (owner.id,)).fetchone()
        return int(row["sequence"]) if row else 0

    def get_entry(self, owner: Owner, sequence: int, path: str) -> Entry | None:
        """What stands at a path of a snapshot."""
        found = self.get_entries(owner, sequence, [path])
        return found[0] if found else None

    def get_entries(self, owner: Owner, sequence: int, paths: Sequence[str]) -> list[Entry]:
        """What stands at some paths of a snapshot, in no order; absent ones are passed over."""
        found: list[Entry] = []
        for part in chunks(paths):
            rows = self._connection.execute(
                f"{_SELECT} AND e.path IN ({marks(len(part))})", (owner.id, sequence, sequence, *part)
            )
            found.extend(map(_entry, rows))
        return found

    def list_entries(
        self, owner: Owner, sequence: int, directory: str, *, recursive: bool, after: str, limit: int
    ) -> list[Entry]:
        """Entries below a directory (empty: the root) with paths after ``after``, in order of their UTF-8 bytes."""
        if not recursive:
            where, bounds = "AND e.parent = ? AND e.path > ?", (directory, after)
        elif directory:
            # Everything that begins with "directory/": '0' is the character after '/'.
            where, bounds = "AND e.path > ? AND e.path < ?", (max(after, directory + "/"), directory + "0")
        else:
            where, bounds = "AND e.path > ?", (after,)  # type: ignore[assignment]  # one bound fewer
        rows = self._connection.execute(
            f"{_SELECT} {where} ORDER BY e.path LIMIT ?", (owner.id, sequence, sequence, *bounds, limit)
        )
        return [_entry(row) for row in rows]

    def describe(self, owner: Owner, sequence: int) -> Tree:
        """Digest, count and size of a snapshot; a pass over all its entries unless ``keep_description`` kept them."""
        kept = self._connection.execute(
            "SELECT tree_digest, file_count, total_size FROM commits JOIN trees USING (tree_id)"
            " WHERE owner = ? AND commits.sequence = ? AND tree_digest IS NOT NULL",
            (owner.id, sequence),
        ).fetchone()
        if kept:
            return Tree(owner, sequence, bytes(kept["tree_digest"]), kept["file_count"], kept["total_size"])
        count = size = 0

        def counted() -> Iterator[Entry]:
            nonlocal count, size
            for entry in self._all_entries(owner, sequence):
                count += entry.kind is Kind.FILE
                size += entry.size
                yield entry

        digest = tree_digest(counted())
        return Tree(owner, sequence, digest, count, size)

    def keep_description(self, tree: Tree) -> None:
        """Keep what ``describe`` computed."""
        self._connection.execute(
            "UPDATE commits SET tree_digest = ?, file_count = ?, total_size = ?"
            " WHERE sequence = ? AND tree_id = (SELECT tree_id FROM trees WHERE owner = ?)",
            (tree.digest, tree.file_count, tree.total_size, tree.sequence, tree.owner.id),
        )

    def list_blocks(self, file_id: int, first: int, limit: int) -> list[FileBlock]:
        """Blocks of a file from position ``first``."""
        rows = self._connection.execute(
            'SELECT fb.position, b.digest, o.object_key, b."offset", b.size FROM file_blocks fb'
            " JOIN blocks b ON b.block_id = fb.block_id JOIN objects o ON o.object_id = b.object_id"
            " WHERE fb.file_id = ? AND fb.position >= ? ORDER BY fb.position LIMIT ?",
            (file_id, first, limit),
        )
        return [_file_block(row) for row in rows]

    def list_blocks_of(self, file_ids: Sequence[int]) -> dict[int, list[FileBlock]]:
        """All blocks of some (small) files."""
        found: dict[int, list[FileBlock]] = {}
        for part in chunks(file_ids):
            rows = self._connection.execute(
                'SELECT fb.file_id, fb.position, b.digest, o.object_key, b."offset", b.size FROM file_blocks fb'  # noqa: S608
                " JOIN blocks b ON b.block_id = fb.block_id JOIN objects o ON o.object_id = b.object_id"
                f" WHERE fb.file_id IN ({marks(len(part))}) ORDER BY fb.file_id, fb.position",
                part,
            )
            for row in rows:
                found.setdefault(row["file_id"], []).append(_file_block(row))
        return found

    def _all_entries(self, owner: Owner, sequence: int) -> Iterator[Entry]:
        after = ""
        while page := self.list_entries(owner, sequence, "", recursive=True, after=after, limit=5_000):
            yield from page
            after = page[-1].path


def _entry(row: Any) -> Entry:
    return Entry(
        path=row["path"],
        kind=Kind(row["kind"]),
        executable=bool(row["executable"]),
        size=row["size"],
        digest=bytes(row["digest"] or b""),
        sequence=row["sequence"],
        commit_time_ms=row["commit_time"],
        file_id=row["file_id"] or 0,
    )


def _file_block(row: Any) -> FileBlock:
    return FileBlock(row["position"], bytes(row["digest"]), Extent(row["object_key"], row["offset"], row["size"]))
