"""Rows of blocks and of the objects that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TypeVar

from holdfast_server.domain.artifacts import Extent
from holdfast_server.services.ports.artifacts import AddedBlocks
from holdfast_server.storage.sql.bulk import insert_rows
from holdfast_server.storage.sql.connection import Connection

T = TypeVar("T")
# Well below SQLite's limit of 32,766 variables, and a statement that the cache can hold.
CHUNK = 500
# Far less than a block is kept without a touch.
TOUCH_EVERY_MS = 60 * 1000


# States of a block's row; one that was found to be lost counts as missing.
PRESENT, LOST = 0, 1


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Slices of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def marks(count: int) -> str:
    """``?,?,…`` for an IN list."""
    return ",".join("?" * count)


def next_id(connection: Connection, table: str, column: str) -> int:
    """The id that SQLite would give the next row; inside a write transaction no other can take it.

    Rows that refer to each other are then inserted without asking back for each id.
    """
    row = connection.execute(f"SELECT COALESCE(MAX({column}), 0) + 1 AS id FROM {table}").fetchone()  # noqa: S608
    return int(row["id"])


def next_unused_id(connection: Connection, table: str) -> int:
    """The same for a table whose ids are never used again."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row["seq"]) + 1 if row else 1


class SqlBlockIndex:
    """Implements ``BlockIndex``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    def find_missing(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of ``digests`` that are not present, in order, each once."""
        wanted = list(dict.fromkeys(digests))
        present = self.find_present(wanted)
        return [digest for digest in wanted if digest not in present]

    def find_present(self, digests: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """Block id and size of those of ``digests`` that are present."""
        return {digest: (block_id, size) for digest, block_id, size, state in self._find(digests) if state == PRESENT}

    def _find(self, digests: Sequence[bytes]) -> Iterator[tuple[bytes, int, int, int]]:
        """Digest, id, size and state of those that have a row."""
        for part in chunks(digests):
            for row in self._connection.execute(
                f"SELECT digest, block_id, size, state FROM blocks WHERE digest IN ({marks(len(part))})",  # noqa: S608
                part,
            ):
                yield tuple(row)

    def find_stale(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those that are present and were not touched for a minute."""
        found: list[bytes] = []
        for part in chunks(digests):
            rows = self._connection.execute(
                f"SELECT digest FROM blocks WHERE state = 0 AND touch_time < ? AND digest IN ({marks(len(part))})",  # noqa: S608
                (self._now_ms - TOUCH_EVERY_MS, *part),
            )
            found.extend(bytes(row["digest"]) for row in rows)
        return found

    def find_lost_of(self, file_digests: Sequence[bytes]) -> list[bytes]:
        """Blocks of known files that were found to be lost, each once; as a rule the whole database has none."""
        if self._connection.execute("SELECT 1 FROM blocks INDEXED BY blocks_lost WHERE state != 0").fetchone() is None:
            return []
        found: dict[bytes, None] = {}
        for part in chunks(file_digests):
            rows = self._connection.execute(
                "SELECT b.digest FROM files f JOIN file_blocks fb USING (file_id) JOIN blocks b USING (block_id)"  # noqa: S608
                f" WHERE b.state != 0 AND f.digest IN ({marks(len(part))})",
                part,
            )
            found.update((bytes(row["digest"]), None) for row in rows)
        return list(found)

    def count_repairs(self) -> int:
        """How often a present block was ever counted as missing."""
        return int(self._connection.execute("SELECT repairs FROM block_store").fetchone()["repairs"])

    def find_places(self, digests: Sequence[bytes]) -> dict[bytes, Extent]:
        """Where those of ``digests`` are that have a row, present or lost."""
        found: dict[bytes, Extent] = {}
        for part in chunks(digests):
            rows = self._connection.execute(
                'SELECT b.digest, o.object_key, b."offset", b.size FROM blocks b JOIN objects o USING (object_id)'  # noqa: S608
                f" WHERE b.digest IN ({marks(len(part))})",
                part,
            )
            found.update((bytes(digest), Extent(key, offset, size)) for digest, key, offset, size in rows)
        return found

    def touch(self, digests: Sequence[bytes]) -> None:
        """Extend the life of those that are present."""
        for part in chunks(digests):
            self._connection.execute(
                f"UPDATE blocks SET touch_time = ? WHERE state = 0 AND digest IN ({marks(len(part))})",  # noqa: S608
                (self._now_ms, *part),
            )

    def add(self, blocks: Sequence[tuple[bytes, int, Extent]]) -> AddedBlocks:
        """Record stored blocks (digest, size, place).

        A block that is there already keeps its place. An object is only given back when none of its blocks was new.
        """
        states = {digest: state for digest, _, _, state in self._find([digest for digest, _, _ in blocks])}
        present = [digest for digest, state in states.items() if state == PRESENT]
        sizes: dict[str, int] = {}
        for _, _, extent in blocks:
            sizes[extent.object_key] = max(sizes.get(extent.object_key, 0), extent.offset + extent.length)
        fresh = {d: (size, extent) for d, size, extent in reversed(blocks) if states.get(d) != PRESENT}
        needed = dict.fromkeys(extent.object_key for _, extent in fresh.values())
        first = next_id(self._connection, "objects", "object_id")
        ids = dict(zip(needed, count(first), strict=False))
        insert_rows(
            self._connection,
            "objects (object_id, object_key, size, create_time)",
            [(object_id, key, sizes[key], self._now_ms) for key, object_id in ids.items()],
        )
        # Two plain statements: with an upsert SQLite keeps a journal for each row, and to end it walks through what the
        # transaction's savepoint keeps, which took a fifth of the time of an upload of small files.
        places = [(ids[x.object_key], x.offset, self._now_ms, size, d) for d, (size, x) in fresh.items()]
        new = [place for place in places if place[-1] not in states]
        block_ids = range(first_block := next_id(self._connection, "blocks", "block_id"), first_block + len(new))
        insert_rows(
            self._connection,
            'blocks (block_id, object_id, "offset", touch_time, size, digest)',
            [(block_id, *place) for block_id, place in zip(block_ids, new, strict=True)],
        )
        # A block whose bytes were lost is whole again at its new place, and with it every file that needs it.
        self._connection.executemany(
            'UPDATE blocks SET object_id = ?, "offset" = ?, touch_time = ?, size = ?, state = 0 WHERE digest = ?',
            [place for place in places if place[-1] in states],
        )
        self.touch(present)
        return AddedBlocks(
            [extent for _, _, extent in blocks if extent.object_key not in needed],
            {place[-1]: (block_id, place[-2]) for block_id, place in zip(block_ids, new, strict=True)},
        )
