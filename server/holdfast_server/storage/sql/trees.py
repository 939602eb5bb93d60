"""Artifact trees: writing commits. Reading is in ``snapshots``, which this builds on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from typing import NamedTuple, NoReturn

from holdfast.format.digests import block_length
from holdfast_server.domain.access import Viewer
from holdfast_server.domain.artifacts import Kind, NewEntry, Owner, Tree
from holdfast_server.domain.names import shown
from holdfast_server.domain.paths import ancestors, nfc, parent_of
from holdfast_server.errors import FailedPrecondition, InvalidArgument, NotFound, Reason, Unavailable
from holdfast_server.services.ports.artifacts import NO_BLOCKS, BlockIds
from holdfast_server.storage.sql.blocks import SqlBlockIndex, chunks, marks, next_unused_id
from holdfast_server.storage.sql.bulk import insert_rows
from holdfast_server.storage.sql.conflicts import FROM_RECENT, FROM_STAGED
from holdfast_server.storage.sql.connection import Connection, IntegrityError
from holdfast_server.storage.sql.known_blocks import SqlKnownBlocks
from holdfast_server.storage.sql.snapshots import VISIBLE_BELOW, SqlSnapshots, below, everything

# Entries or other rows that one call deletes of a given-up commit; keeps the write lock's time to some milliseconds.
ABANDON_STEP = 2_000

_ENTRIES = "entries (tree_id, path, commit_id, parent, nfc_path, kind, executable, file_id)"
# The select's WHERE keeps SQLite from reading ON as the beginning of a join's condition.
_INSERT_REMOVALS = (
    "INSERT INTO entries (tree_id, path, commit_id, parent, nfc_path, kind)"  # noqa: S608 - of constants
    " SELECT tree_id, path, :commit_id, parent, nfc_path, :absent FROM ("
    f"  SELECT e.tree_id, e.path, e.parent, e.nfc_path, MAX(c.sequence) {VISIBLE_BELOW})"
    " WHERE true ON CONFLICT DO NOTHING"
)

# Rows of one commit whose path, or normalized path, is one of some names.
_STAGED_AT_PATH = (
    "SELECT path AS name, path, kind FROM entries WHERE tree_id = ? AND commit_id = ? AND path IN ({marks})"
)
_STAGED_AT_NORMALIZED = (
    "SELECT nfc_path AS name, path, kind FROM entries INDEXED BY entries_nfc"
    " WHERE tree_id = ? AND commit_id = ? AND nfc_path IN ({marks})"
)
# As a rule no name of the whole database is changed by normalization; the index has only those.
_ANY_UNNORMALIZED = "SELECT 1 FROM entries INDEXED BY entries_nfc WHERE nfc_path IS NOT NULL LIMIT 1"
# From the lost blocks, which are few, to those files of the commit that need them. INDEXED BY keeps the planner from
# going through all entries of the commit for each.
_LOST_OF_STAGED = """
SELECT DISTINCT b.digest FROM blocks b INDEXED BY blocks_lost
CROSS JOIN file_blocks fb ON fb.block_id = b.block_id
CROSS JOIN entries e INDEXED BY entries_file ON e.file_id = fb.file_id AND e.commit_id = ?
WHERE b.state != 0 LIMIT ?
"""


class _Row(NamedTuple):
    """The columns of an entry, in the order of ``_ENTRIES``."""

    tree_id: int
    path: str
    commit_id: int
    parent: str
    nfc_path: str | None
    kind: int
    executable: int
    file_id: int | None


class SqlTrees(SqlSnapshots):
    """Implements ``TreeRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        super().__init__(connection)
        self._now_ms = now_ms
        self._blocks = SqlBlockIndex(connection, now_ms)
        self._known_blocks = SqlKnownBlocks(connection, now_ms)

    def begin_commit(self, owner: Owner) -> int:
        """Start a commit that nobody sees; its id is returned."""
        self._connection.execute(
            # An owner that was purged and whose id comes again begins with an empty snapshot.
            "INSERT INTO trees (owner) VALUES (?) ON CONFLICT (owner) DO UPDATE SET purged = 0 WHERE purged = 1",
            (owner.id,),
        )
        cursor = self._connection.execute(
            "INSERT INTO commits (tree_id, begin_time) SELECT tree_id, ? FROM trees WHERE owner = ?",
            (self._now_ms, owner.id),
        )
        return int(cursor.lastrowid)

    def stage(
        self,
        commit_id: int,
        entries: Sequence[NewEntry],
        *,
        all_ancestors: bool,
        new_blocks: BlockIds = NO_BLOCKS,
        viewer: Viewer | None = None,
    ) -> list[bytes]:
        """Add entries, with the directories above them, to a commit. Returns digests of missing blocks.

        With a ``viewer``, blocks that it does not know of are missing.
        """
        tree_id, owner = self._staged_tree(commit_id)
        contents, missing = self._store_files(entries, new_blocks, viewer)
        if missing:
            return missing
        parents = dict.fromkeys(parent_of(entry.path) for entry in entries)
        above = ([*ancestors(parent), parent] for parent in parents if parent)
        directories = dict.fromkeys(chain(*above, (e.path for e in entries if e.kind is Kind.DIRECTORY)))
        staged = self._staged_kinds(tree_id, commit_id, list(directories))
        live = {} if all_ancestors else self._live_kinds(owner, list(directories))
        rows = []
        for directory in directories:
            if self._wants_directory(directory, staged, live):
                rows.append(_row(tree_id, commit_id, directory, Kind.DIRECTORY))
            staged[directory] = Kind.DIRECTORY
        for entry in entries:
            if entry.kind is Kind.FILE:
                path = entry.path
                if path in staged:
                    _refuse_again(path, staged[path])
                file_id, size = contents[entry.file_digest]
                if entry.size != size:
                    raise _mismatch(entry, f"its content has {size} bytes, not {entry.size}")
                rows.append(_row(tree_id, commit_id, path, Kind.FILE, executable=entry.executable, file_id=file_id))
                staged[path] = Kind.FILE
        before = self._connection.total_changes
        try:
            insert_rows(self._connection, _ENTRIES, rows)
        except IntegrityError:
            # Files are not looked up before: they are many and hardly ever come twice. Statements before the one that
            # failed were carried out.
            rest = rows[self._connection.total_changes - before :]
            for path, kind in self._staged_kinds(tree_id, commit_id, [row.path for row in rest]).items():
                _refuse_again(path, kind)
            raise
        self._check_normalized_siblings(tree_id, commit_id, rows)
        return []

    def stage_removals(self, commit_id: int, paths: Sequence[str]) -> None:
        """Add removals of files, or of directories with all below them; the path "" is the root."""
        tree_id, owner = self._staged_tree(commit_id)
        sequence = self.latest_sequence(owner)
        if list(paths) == [""]:
            self._stage_removals_below(commit_id, owner, sequence, everything())
            return
        live = {entry.path: entry for entry in self.get_entries(owner, sequence, paths)}
        for path in paths:
            if path not in live:
                raise NotFound(
                    f"There is no file or directory {shown(path)} in {owner}.", metadata={"path": ascii(path)}
                )
        self._connection.executemany(
            f"INSERT INTO {_ENTRIES} VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608 - of constants
            [_row(tree_id, commit_id, path, Kind.ABSENT) for path in live],
        )
        for entry in live.values():
            if entry.is_directory:
                self._stage_removals_below(commit_id, owner, sequence, below(entry.path))

    def _stage_removals_below(self, commit_id: int, owner: Owner, sequence: int, bounds: dict[str, object]) -> None:
        snapshot = self._snapshot(owner, sequence)
        if snapshot is not None:
            values = {"commit_id": commit_id, "absent": Kind.ABSENT.value}
            self._connection.execute(_INSERT_REMOVALS, snapshot | bounds | values)

    def check_conflicts(self, commit_id: int, since: int | None = None) -> int:
        """Compare a staged commit with its tree; returns the sequence that it was compared with."""
        _, owner = self._staged_tree(commit_id)
        snapshot = self._snapshot(owner, self.latest_sequence(owner))
        if snapshot is None:
            return 0
        sequence: int = snapshot["sequence"]
        if since is None or sequence > since:
            for statement in FROM_STAGED if since is None else FROM_RECENT:
                bounds = {"commit_id": commit_id, "since": since or 0}
                found = self._connection.execute(statement, snapshot | bounds).fetchone()
                if found:
                    raise _conflict(found["path"], found["kind"], found["live_path"], found["live_kind"])
        return sequence

    def find_lost(self, commit_id: int, limit: int) -> list[bytes]:
        """Digests of blocks of a staged commit that count as missing by now, each once."""
        return [bytes(row["digest"]) for row in self._connection.execute(_LOST_OF_STAGED, (commit_id, limit))]

    def seal(self, commit_id: int) -> Tree:
        """Make a staged commit visible under the next number of its tree."""
        tree_id, owner = self._staged_tree(commit_id)
        row = self._connection.execute(
            "UPDATE trees SET sequence = sequence + 1 WHERE tree_id = ? RETURNING sequence", (tree_id,)
        ).fetchone()
        self._connection.execute(
            "UPDATE commits SET sequence = :sequence, commit_time = :now, staged_from = ("
            "  SELECT MIN(commit_id) FROM commits WHERE tree_id = :tree_id AND sequence IS NULL AND begin_time > 0),"
            " sealed_to = MAX(commit_id, COALESCE(("
            "  SELECT sealed_to FROM commits WHERE tree_id = :tree_id AND sequence = :sequence - 1), 0))"
            " WHERE commit_id = :commit_id",
            {"tree_id": tree_id, "commit_id": commit_id, "sequence": row["sequence"], "now": self._now_ms},
        )
        return Tree(owner, row["sequence"])

    def abandon(self, commit_id: int, limit: int = ABANDON_STEP) -> bool:
        """Give up a staged commit, removing up to ``limit`` of its entries; whether nothing is left of it.

        It can be sealed no more. What is left goes with the next calls or with ``delete_expired_stages``. A commit that
        was sealed stays as it is.
        """
        self._connection.execute(
            "UPDATE commits SET begin_time = 0 WHERE commit_id = ? AND sequence IS NULL", (commit_id,)
        )
        return self._delete_stage(commit_id, limit)[1]

    def delete_expired_stages(self, older_than_ms: int, limit: int = ABANDON_STEP) -> int:
        """Remove commits begun before ``older_than_ms`` and never sealed, up to ``limit`` rows; 0 when none is left."""
        deleted = 0
        while deleted < limit:
            row = self._connection.execute(
                "SELECT commit_id FROM commits WHERE sequence IS NULL AND begin_time < ? LIMIT 1", (older_than_ms,)
            ).fetchone()
            if row is None:
                break
            deleted += self._delete_stage(row["commit_id"], limit - deleted)[0]
        return deleted

    def _delete_stage(self, commit_id: int, limit: int) -> tuple[int, bool]:
        """Delete entries of a staged commit, and with the last the commit: how many rows, and whether all."""
        cursor = self._connection.execute(
            "DELETE FROM entries WHERE (tree_id, path, commit_id) IN ("
            " SELECT tree_id, path, commit_id FROM entries JOIN commits USING (tree_id, commit_id)"
            " WHERE commit_id = ? AND sequence IS NULL LIMIT ?)",
            (commit_id, limit),
        )
        deleted = int(cursor.rowcount)
        if deleted == limit:
            return deleted, False
        self._connection.execute("DELETE FROM commits WHERE commit_id = ? AND sequence IS NULL", (commit_id,))
        return deleted + 1, True

    def _staged_tree(self, commit_id: int) -> tuple[int, Owner]:
        row = self._connection.execute(
            "SELECT tree_id, owner FROM commits JOIN trees USING (tree_id)"
            " WHERE commit_id = ? AND commits.sequence IS NULL AND begin_time > 0",
            (commit_id,),
        ).fetchone()
        if row is None:
            raise Unavailable("The commit took too long and its staged entries expired; commit again.")
        return row["tree_id"], Owner.parse(row["owner"])

    def _store_files(
        self, entries: Sequence[NewEntry], new_blocks: BlockIds, viewer: Viewer | None
    ) -> tuple[dict[bytes, tuple[int, int]], list[bytes]]:
        """Make rows for contents that are new; returns file id and size of each content, and missing blocks."""
        contents = {entry.file_digest: entry for entry in entries if entry.kind is Kind.FILE}
        if viewer is not None:
            # Whether others have a file of the same blocks must make no difference, nor whether they have some of them.
            named = dict.fromkeys(d for entry in contents.values() for d in entry.block_digests if d not in new_blocks)
            visible = self._known_blocks.find(list(named), viewer)
            if len(visible) < len(named):
                return {}, [digest for digest in named if digest not in visible]
        # A file of one block has its digest, and no file has a block that is new.
        known = self._known_files([digest for digest in contents if digest not in new_blocks])
        new = {digest: entry for digest, entry in contents.items() if digest not in known}
        wanted = list(dict.fromkeys(d for entry in new.values() for d in entry.block_digests if d not in new_blocks))
        present = {**new_blocks, **self._blocks.find_present(wanted)}
        missing = [digest for digest in wanted if digest not in present] + self._blocks.find_lost_of(list(known))
        if missing:
            return known, missing
        for entry in new.values():
            _check_sizes(entry, present)
        ids = list(zip(count(next_unused_id(self._connection, "files")), new.items(), strict=False))
        insert_rows(self._connection, "files (file_id, digest, size)", [(i, d, entry.size) for i, (d, entry) in ids])
        insert_rows(
            self._connection,
            "file_blocks (file_id, position, block_id)",
            [(i, n, present[b][0]) for i, (_, entry) in ids for n, b in enumerate(entry.block_digests)],
        )
        return known | {d: (i, entry.size) for i, (d, entry) in ids}, []

    def _known_files(self, digests: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """File id and size of those contents that have a row."""
        found: dict[bytes, tuple[int, int]] = {}
        for part in chunks(digests):
            rows = self._connection.execute(
                f"SELECT digest, file_id, size FROM files WHERE digest IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            found.update((bytes(row["digest"]), (row["file_id"], row["size"])) for row in rows)
        return found

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

    def _check_normalized_siblings(self, tree_id: int, commit_id: int, rows: Sequence[_Row]) -> None:
        """Refuse two paths of one commit that are the same after normalization; ``rows`` were just staged.

        Two can only be the same when at least one is not normalized. The other either has the normalized name as its
        path, or is not normalized either.
        """
        if self._connection.execute(_ANY_UNNORMALIZED).fetchone() is None:
            return
        by_name: dict[str, list[_Row]] = {}
        for row in rows:
            by_name.setdefault(row.nfc_path or row.path, []).append(row)
        unnormalized = list(dict.fromkeys(row.nfc_path for row in rows if row.nfc_path is not None))
        for names, statement in ((unnormalized, _STAGED_AT_PATH), (list(by_name), _STAGED_AT_NORMALIZED)):
            for part in chunks(names):
                found = self._connection.execute(statement.format(marks=marks(len(part))), (tree_id, commit_id, *part))
                for other in found:
                    for row in by_name[other["name"]]:
                        if row.path != other["path"]:
                            raise _conflict(row.path, row.kind, other["path"], other["kind"])


def _refuse_again(path: str, staged: Kind) -> NoReturn:
    """Refuse a file at a path that its commit has already."""
    if staged is Kind.DIRECTORY:
        raise _conflict(path, Kind.FILE, path, Kind.DIRECTORY)
    raise InvalidArgument(
        f"The path {shown(path)} comes twice in this commit.", reason=Reason.INVALID_PATH, field="path"
    )


def _row(
    tree_id: int, commit_id: int, path: str, kind: Kind, *, executable: bool = False, file_id: int | None = None
) -> _Row:
    normalized = None if path.isascii() else nfc(path)
    unequal = normalized if normalized != path else None
    # Plain numbers: others would be adapted when they are bound.
    return _Row(tree_id, path, commit_id, parent_of(path), unequal, int(kind), int(executable), file_id)


def _check_sizes(entry: NewEntry, present: BlockIds) -> None:
    """Blocks must make up the declared size, all but the last being full."""
    digests = entry.block_digests
    if len(digests) == 1 and present[digests[0]][1] == entry.size:
        return
    for position, digest in enumerate(digests):
        size, wanted = present[digest][1], block_length(entry.size, position)
        if size != wanted:
            raise _mismatch(entry, f"block {position} has {size} bytes where a file of {entry.size} bytes has {wanted}")


def _mismatch(entry: NewEntry, rule: str) -> InvalidArgument:
    return InvalidArgument(
        f"Entry {shown(entry.path)}: {rule}.", reason=Reason.CONTENT_MISMATCH, metadata={"path": ascii(entry.path)}
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
