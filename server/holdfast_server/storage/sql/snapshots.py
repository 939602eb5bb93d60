"""Reading artifact trees as of a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from holdfast.format.digests import tree_digest
from holdfast_server.domain.artifacts import Entry, Extent, FileBlock, Kind, Owner, Tree
from holdfast_server.services.ports.artifacts import LargeSnapshot
from holdfast_server.storage.sql.blocks import chunks, marks
from holdfast_server.storage.sql.connection import Connection

# The versions among which a path's newest one is, up to a snapshot, whose ``:sequence`` and ``:sealed_to`` these are.
# The first that the snapshot shows, down from its highest commit id, is as a rule the newest: only what was staged when
# that one was sealed can be newer and have a lower id. So few versions are looked at, however many there are.
CANDIDATES = """
  BETWEEN (
    SELECT tc.staged_from FROM entries t CROSS JOIN commits tc ON tc.commit_id = t.commit_id
    WHERE t.tree_id = :tree_id AND t.path = {path} AND t.commit_id <= :sealed_to AND tc.sequence <= :sequence
    ORDER BY t.commit_id DESC LIMIT 1)
  AND :sealed_to"""

_COLUMNS = "e.path, e.kind, e.executable, e.file_id, COALESCE(f.size, 0) AS size, f.digest, c.commit_time"

_SELECT = f"""
WITH wanted (path) AS (VALUES {{rows}})
SELECT {_COLUMNS}, c.sequence FROM wanted w
CROSS JOIN entries e ON e.tree_id = :tree_id AND e.path = w.path AND e.commit_id {CANDIDATES.format(path="w.path")}
CROSS JOIN commits c ON c.commit_id = e.commit_id AND c.sequence <= :sequence
LEFT JOIN files f ON f.file_id = e.file_id
"""  # noqa: S608 - of constants

# Versions come in the order of their paths and each path's newest is kept, so a page ends the scan. The columns beside
# MAX are those of its row, which SQLite promises (https://sqlite.org/lang_select.html#bareagg).
_VISIBLE = """
FROM entries e {index} CROSS JOIN commits c ON c.commit_id = e.commit_id
LEFT JOIN files f ON f.file_id = e.file_id
WHERE e.tree_id = :tree_id AND c.sequence <= :sequence {where}
GROUP BY e.path HAVING e.kind != 0
"""
_LIST = f"SELECT {_COLUMNS}, MAX(c.sequence) AS sequence {_VISIBLE} ORDER BY e.path LIMIT :limit"
# The planner would rather follow the primary key, which is in order too, through everything below the directory.
_CHILDREN = _LIST.format(index="INDEXED BY entries_parent", where="AND e.parent = :directory AND e.path > :after")
_BELOW = "AND e.path > :after AND e.path < :end"
_DESCENDANTS = _LIST.format(index="", where=_BELOW)
_ALL = _LIST.format(index="", where="AND e.path > :after")
VISIBLE_BELOW = _VISIBLE.format(index="", where=_BELOW)


class SqlSnapshots:
    """The reading half of ``TreeRepository``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def latest_sequence(self, owner: Owner) -> int:
        """Number of the newest visible commit; 0 when there is none."""
        row = self._connection.execute("SELECT sequence FROM trees WHERE owner = ?", (owner.id,)).fetchone()
        return int(row["sequence"]) if row else 0

    def is_kept(self, owner: Owner, sequence: int) -> bool:
        """Whether a snapshot can still be read: it is not older than what is kept, or a model version pins it."""
        row = self._connection.execute("SELECT kept_from FROM trees WHERE owner = ?", (owner.id,)).fetchone()
        return row is None or sequence >= row["kept_from"] or self.is_pinned(owner, sequence)

    def is_pinned(self, owner: Owner, sequence: int) -> bool:
        """Whether a model version shows a snapshot."""
        statement = "SELECT 1 FROM model_versions WHERE owner = ? AND sequence = ? LIMIT 1"
        return self._connection.execute(statement, (owner.id, sequence)).fetchone() is not None

    def get_entry(self, owner: Owner, sequence: int, path: str) -> Entry | None:
        """What stands at a path of a snapshot."""
        found = self.get_entries(owner, sequence, [path])
        return found[0] if found else None

    def get_entries(self, owner: Owner, sequence: int, paths: Sequence[str]) -> list[Entry]:
        """What stands at some paths of a snapshot, in no order; absent ones are passed over."""
        snapshot = self._snapshot(owner, sequence)
        if snapshot is None:
            return []
        newest: dict[str, Any] = {}
        for part in chunks(paths):
            # Named, because parameters by name and by position do not mix.
            names = {f"path{number}": path for number, path in enumerate(part)}
            statement = _SELECT.format(rows=",".join(f"(:{name})" for name in names))
            for row in self._connection.execute(statement, snapshot | names):
                if row["path"] not in newest or row["sequence"] > newest[row["path"]]["sequence"]:
                    newest[row["path"]] = row
        return [_entry(row) for row in newest.values() if row["kind"] != Kind.ABSENT]

    def list_entries(
        self, owner: Owner, sequence: int, directory: str, *, recursive: bool, after: str, limit: int
    ) -> list[Entry]:
        """Entries below a directory (empty: the root) with paths after ``after``, in order of their UTF-8 bytes."""
        snapshot = self._snapshot(owner, sequence)
        if snapshot is None:
            return []
        bounds: dict[str, object] = {"after": after, "limit": limit}
        if not recursive:
            statement = _CHILDREN
            bounds["directory"] = directory
        elif directory:
            statement = _DESCENDANTS
            bounds |= below(directory, after)
        else:
            statement = _ALL
        return [_entry(row) for row in self._connection.execute(statement, snapshot | bounds)]

    def describe(self, owner: Owner, sequence: int, *, most: int | None = None) -> Tree:
        """Digest, count and size of a snapshot; a pass over all its entries unless ``keep_description`` kept them.

        Raises:
            LargeSnapshot: That would be a pass over more than ``most`` of them.
        """
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
            for number, entry in enumerate(self._all_entries(owner, sequence)):
                if number == most:
                    raise LargeSnapshot
                count += entry.kind is Kind.FILE
                size += entry.size
                yield entry

        digest = tree_digest(counted())
        return Tree(owner, sequence, digest, count, size)

    def digest_directory(self, owner: Owner, sequence: int, directory: str, *, most: int) -> bytes:
        """The digest of a directory of a snapshot as a tree of its own; empty of the root, or of over ``most``."""
        if not directory:
            return b""
        entries = self.list_entries(owner, sequence, directory, recursive=True, after="", limit=most + 1)
        if len(entries) > most:
            return b""
        return tree_digest(entry._replace(path=entry.path[len(directory) + 1 :]) for entry in entries)

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

    def _snapshot(self, owner: Owner, sequence: int) -> dict[str, Any] | None:
        """The parameters that select a snapshot; None when nothing was committed by then."""
        row = self._connection.execute(
            "SELECT tree_id, commits.sequence, sealed_to FROM commits JOIN trees USING (tree_id)"
            " WHERE owner = ? AND commits.sequence <= ? ORDER BY commits.sequence DESC LIMIT 1",
            (owner.id, sequence),
        ).fetchone()
        return dict(row) if row else None

    def _all_entries(self, owner: Owner, sequence: int) -> Iterator[Entry]:
        after = ""
        while page := self.list_entries(owner, sequence, "", recursive=True, after=after, limit=5_000):
            yield from page
            after = page[-1].path


def below(directory: str, after: str = "") -> dict[str, object]:
    """Bounds of the paths below a directory: '0' is the character after '/'."""
    return {"after": max(after, directory + "/"), "end": directory + "0"}


def everything() -> dict[str, object]:
    """Bounds of all paths: SQLite sorts every BLOB after every TEXT."""
    return {"after": "", "end": b""}


_KINDS = {kind.value: kind for kind in Kind}


def _entry(row: Any) -> Entry:
    return Entry(
        path=row["path"],
        kind=_KINDS[row["kind"]],
        executable=bool(row["executable"]),
        size=row["size"],
        digest=bytes(row["digest"] or b""),
        sequence=row["sequence"],
        commit_time_ms=row["commit_time"],
        file_id=row["file_id"] or 0,
    )


def _file_block(row: Any) -> FileBlock:
    return FileBlock(row["position"], bytes(row["digest"]), Extent(row["object_key"], row["offset"], row["size"]))
