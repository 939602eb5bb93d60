"""Artifact trees: writing commits. Reading is in ``snapshots``, which this builds on."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.format.digests import block_length
from holdfast_server.domain.artifacts import Kind, NewEntry, Owner, Tree
from holdfast_server.domain.names import shown
from holdfast_server.domain.paths import ancestors, nfc
from holdfast_server.errors import FailedPrecondition, InvalidArgument, NotFound, Reason, Unavailable
from holdfast_server.storage.sql.blocks import SqlBlockIndex, chunks, marks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.snapshots import SqlSnapshots

_INSERT = (
    "INSERT INTO entries (tree_id, path, commit_id, parent, nfc_path, kind, executable, file_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

# What stands now where a staged commit is about to write: the newest visible version of each path it touches, or of a
# path that is the same after normalization. Parameters: staged commit, first sequence to look at, that commit again.
_CONFLICTS = """
SELECT staged.path AS path, staged.kind AS kind, live.path AS live_path, live.kind AS live_kind
FROM entries staged
JOIN entries live ON {match}
JOIN commits made ON made.commit_id = live.commit_id
WHERE staged.commit_id = ? AND staged.kind != 0 AND live.kind != 0 AND made.sequence > ?
  AND (live.path != staged.path OR live.kind != staged.kind)
  AND NOT EXISTS (
    SELECT 1 FROM entries newer JOIN commits later ON later.commit_id = newer.commit_id
    WHERE newer.tree_id = live.tree_id AND newer.path = live.path AND later.sequence > made.sequence)
  AND NOT EXISTS (
    SELECT 1 FROM entries removal
    WHERE removal.tree_id = live.tree_id AND removal.path = live.path AND removal.commit_id = staged.commit_id
      AND removal.kind = 0)
LIMIT 1
"""
# Three ways to be the same, each with an index of its own. The plus keeps the planner from the primary key, of which
# the third could use only the first column: it would look at the whole tree for each staged entry.
_MATCHES = (
    "live.tree_id = staged.tree_id AND live.path = staged.path",
    "live.tree_id = staged.tree_id AND live.path = staged.nfc_path",
    (
        "+live.tree_id = staged.tree_id AND live.nfc_path IS NOT NULL"
        " AND live.nfc_path = COALESCE(staged.nfc_path, staged.path)"
    ),
)


class SqlTrees(SqlSnapshots):
    """Implements ``TreeRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        super().__init__(connection)
        self._now_ms = now_ms
        self._blocks = SqlBlockIndex(connection, now_ms)

    def begin_commit(self, owner: Owner) -> int:
        """Start a commit that nobody sees; its id is returned."""
        self._connection.execute("INSERT INTO trees (owner) VALUES (?) ON CONFLICT (owner) DO NOTHING", (owner.id,))
        cursor = self._connection.execute(
            "INSERT INTO commits (tree_id, begin_time) SELECT tree_id, ? FROM trees WHERE owner = ?",
            (self._now_ms, owner.id),
        )
        return int(cursor.lastrowid)

    def stage(self, commit_id: int, entries: Sequence[NewEntry], *, all_ancestors: bool) -> list[bytes]:
        """Add entries, with the directories above them, to a commit. Returns digests of missing blocks."""
        tree_id, owner = self._staged_tree(commit_id)
        missing = self._store_files(entries)
        if missing:
            return missing
        file_ids = self._file_ids(entries)
        staged = self._staged_kinds(tree_id, commit_id, _touched_paths(entries))
        live = {} if all_ancestors else self._live_kinds(owner, _touched_paths(entries))
        rows = []
        for entry in entries:
            if staged.get(entry.path) is not None and staged[entry.path] is not Kind.DIRECTORY:
                raise InvalidArgument(
                    f"The path {shown(entry.path)} comes twice in this commit.", reason=Reason.INVALID_PATH
                )
            for directory in ancestors(entry.path):
                if self._wants_directory(directory, staged, live):
                    rows.append(_directory_row(tree_id, commit_id, directory))
                    staged[directory] = Kind.DIRECTORY
            if entry.kind is Kind.DIRECTORY:
                if self._wants_directory(entry.path, staged, live):
                    rows.append(_directory_row(tree_id, commit_id, entry.path))
            else:
                if entry.path in staged:
                    raise _conflict(entry.path, Kind.FILE, entry.path, Kind.DIRECTORY)
                file_id = file_ids[entry.file_digest]
                rows.append(
                    _row(tree_id, commit_id, entry.path, Kind.FILE, executable=entry.executable, file_id=file_id)
                )
            staged[entry.path] = entry.kind
        self._connection.executemany(_INSERT, rows)
        self._check_normalized_siblings(tree_id, commit_id, rows)
        return []

    def stage_removals(self, commit_id: int, paths: Sequence[str]) -> None:
        """Add removals of files, or of directories with all below them."""
        tree_id, owner = self._staged_tree(commit_id)
        sequence = self.latest_sequence(owner)
        removed: dict[str, None] = {}
        for path in paths:
            if self.get_entry(owner, sequence, path) is None:
                raise NotFound(
                    f"There is no file or directory {shown(path)} in {owner}.", metadata={"path": ascii(path)}
                )
            removed[path] = None
            after = ""
            while page := self.list_entries(owner, sequence, path, recursive=True, after=after, limit=2_000):
                removed.update((entry.path, None) for entry in page)
                after = page[-1].path
        self._connection.executemany(_INSERT, [_row(tree_id, commit_id, path, Kind.ABSENT) for path in removed])

    def check_conflicts(self, commit_id: int, since: int = 0) -> int:
        """Compare a staged commit with its tree; returns the sequence that it was compared with."""
        tree_id, _ = self._staged_tree(commit_id)
        row = self._connection.execute("SELECT sequence FROM trees WHERE tree_id = ?", (tree_id,)).fetchone()
        if row["sequence"] > since:
            for match in _MATCHES:
                found = self._connection.execute(_CONFLICTS.format(match=match), (commit_id, since)).fetchone()
                if found:
                    raise _conflict(found["path"], found["kind"], found["live_path"], found["live_kind"])
        return int(row["sequence"])

    def seal(self, commit_id: int) -> Tree:
        """Make a staged commit visible under the next number of its tree."""
        tree_id, owner = self._staged_tree(commit_id)
        row = self._connection.execute(
            "UPDATE trees SET sequence = sequence + 1 WHERE tree_id = ? RETURNING sequence", (tree_id,)
        ).fetchone()
        self._connection.execute(
            "UPDATE commits SET sequence = ?, commit_time = ? WHERE commit_id = ?",
            (row["sequence"], self._now_ms, commit_id),
        )
        return Tree(owner, row["sequence"])

    def abandon(self, commit_id: int) -> None:
        """Forget a staged commit; one that was sealed stays. Its entries go with it (ON DELETE CASCADE)."""
        self._connection.execute("DELETE FROM commits WHERE commit_id = ? AND sequence IS NULL", (commit_id,))

    def delete_expired_stages(self, older_than_ms: int, limit: int = 20) -> int:
        """Forget commits begun before ``older_than_ms`` and never sealed; the count is returned."""
        rows = self._connection.execute(
            "SELECT commit_id FROM commits WHERE sequence IS NULL AND begin_time < ? LIMIT ?", (older_than_ms, limit)
        ).fetchall()
        for row in rows:
            self.abandon(row["commit_id"])
        return len(rows)

    def _staged_tree(self, commit_id: int) -> tuple[int, Owner]:
        row = self._connection.execute(
            "SELECT tree_id, owner FROM commits JOIN trees USING (tree_id)"
            " WHERE commit_id = ? AND commits.sequence IS NULL",
            (commit_id,),
        ).fetchone()
        if row is None:
            raise Unavailable("The commit took too long and its staged entries expired; commit again.")
        return row["tree_id"], Owner.parse(row["owner"])

    def _store_files(self, entries: Sequence[NewEntry]) -> list[bytes]:
        """Make rows for contents that are new; returns digests of blocks that are missing."""
        contents = {entry.file_digest: entry for entry in entries if entry.kind is Kind.FILE}
        known = self._known_files(list(contents))
        new = {digest: entry for digest, entry in contents.items() if digest not in known}
        wanted = list(dict.fromkeys(d for entry in new.values() for d in entry.block_digests))
        present = self._blocks.find_present(wanted)
        missing = [digest for digest in wanted if digest not in present]
        if missing:
            return missing
        for entry in new.values():
            _check_sizes(entry, present)
        self._connection.executemany(
            "INSERT INTO files (digest, size) VALUES (?, ?)", [(d, entry.size) for d, entry in new.items()]
        )
        ids = self._known_files(list(new))
        self._connection.executemany(
            "INSERT INTO file_blocks (file_id, position, block_id) VALUES (?, ?, ?)",
            [(ids[d], i, present[b][0]) for d, entry in new.items() for i, b in enumerate(entry.block_digests)],
        )
        return []

    def _known_files(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for part in chunks(digests):
            rows = self._connection.execute(
                f"SELECT digest, file_id FROM files WHERE digest IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            found.update((bytes(row["digest"]), row["file_id"]) for row in rows)
        return found

    def _file_ids(self, entries: Sequence[NewEntry]) -> dict[bytes, int]:
        return self._known_files(list({entry.file_digest for entry in entries if entry.kind is Kind.FILE}))

    def _staged_kinds(self, tree_id: int, commit_id: int, paths: Sequence[str]) -> dict[str, Kind]:
        found: dict[str, Kind] = {}
        for part in chunks(paths):
            rows = self._connection.execute(
                f"SELECT path, kind FROM entries WHERE tree_id = ? AND commit_id = ? AND path IN ({marks(len(part))})",  # noqa: S608
                (tree_id, commit_id, *part),
            )
            found.update((row["path"], Kind(row["kind"])) for row in rows)
        return found

    def _live_kinds(self, owner: Owner, paths: Sequence[str]) -> dict[str, Kind]:
        sequence = self.latest_sequence(owner)
        return {e.path: e.kind for e in self.get_entries(owner, sequence, paths)} if sequence else {}

    @staticmethod
    def _wants_directory(path: str, staged: dict[str, Kind], live: dict[str, Kind]) -> bool:
        """Whether a row must be made for a directory; refuses one in the place of a staged file."""
        kind = staged.get(path)
        if kind is Kind.FILE:
            raise _conflict(path, Kind.DIRECTORY, path, Kind.FILE)
        return kind is None and live.get(path) is not Kind.DIRECTORY

    def _check_normalized_siblings(self, tree_id: int, commit_id: int, rows: Sequence[tuple[object, ...]]) -> None:
        """Refuse two paths of one commit that are the same after normalization."""
        if all(row[4] is None for row in rows) and not self._has_normalized(tree_id, commit_id):
            return
        found = self._connection.execute(
            "SELECT a.path AS path, a.kind AS kind, b.path AS other, b.kind AS other_kind FROM entries a"
            " JOIN entries b ON b.tree_id = a.tree_id AND b.commit_id = a.commit_id AND b.path != a.path"
            "  AND COALESCE(b.nfc_path, b.path) = a.nfc_path"
            " WHERE a.commit_id = ? AND a.nfc_path IS NOT NULL LIMIT 1",
            (commit_id,),
        ).fetchone()
        if found:
            raise _conflict(found["path"], found["kind"], found["other"], found["other_kind"])

    def _has_normalized(self, tree_id: int, commit_id: int) -> bool:
        return bool(
            self._connection.execute(
                "SELECT 1 FROM entries WHERE tree_id = ? AND commit_id = ? AND nfc_path IS NOT NULL LIMIT 1",
                (tree_id, commit_id),
            ).fetchone()
        )


def _touched_paths(entries: Sequence[NewEntry]) -> list[str]:
    touched: dict[str, None] = {}
    for entry in entries:
        touched.update(dict.fromkeys(ancestors(entry.path)))
        touched[entry.path] = None
    return list(touched)


def _directory_row(tree_id: int, commit_id: int, path: str) -> tuple[object, ...]:
    return _row(tree_id, commit_id, path, Kind.DIRECTORY)


def _row(
    tree_id: int, commit_id: int, path: str, kind: Kind, *, executable: bool = False, file_id: int | None = None
) -> tuple[object, ...]:
    normalized = nfc(path)
    return (
        tree_id,
        path,
        commit_id,
        path.rpartition("/")[0],
        normalized if normalized != path else None,
        int(kind),
        int(executable),
        file_id,
    )


def _check_sizes(entry: NewEntry, present: dict[bytes, tuple[int, int]]) -> None:
    """Blocks must make up the declared size, all but the last being full."""
    for position, digest in enumerate(entry.block_digests):
        size, wanted = present[digest][1], block_length(entry.size, position)
        if size != wanted:
            raise InvalidArgument(
                f"Entry {shown(entry.path)}: block {position} has {size} bytes where a file of {entry.size} bytes has "
                f"{wanted}.",
                reason=Reason.CONTENT_MISMATCH,
                metadata={"path": ascii(entry.path)},
            )


def _conflict(path: str, kind: int, live_path: str, live_kind: int) -> FailedPrecondition:
    if path == live_path:
        names = {Kind.FILE: "a file", Kind.DIRECTORY: "a directory"}
        message = (
            f"{shown(path)} is {names[Kind(live_kind)]} and cannot be {names[Kind(kind)]} too. "
            "Choose another path, or delete what is there first."
        )
    else:
        message = (
            f"{shown(path)} and {shown(live_path)} are the same name after Unicode normalization, "
            "and many file systems could not hold both. Choose another name."
        )
    return FailedPrecondition(message, reason=Reason.PATH_CONFLICT, metadata={"path": ascii(path)})
