"""Rows of blocks and of the objects that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from holdfast_server.domain.artifacts import Extent
from holdfast_server.storage.sql.connection import Connection

T = TypeVar("T")
# Well below SQLite's limit of 32,766 variables, and a statement that the cache can hold.
CHUNK = 500


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Slices of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def marks(count: int) -> str:
    """``?,?,…`` for an IN list."""
    return ",".join("?" * count)


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
        found: dict[bytes, tuple[int, int]] = {}
        for part in chunks(digests):
            rows = self._connection.execute(
                f"SELECT digest, block_id, size FROM blocks WHERE state = 0 AND digest IN ({marks(len(part))})",  # noqa: S608
                part,
            )
            found.update((bytes(row["digest"]), (row["block_id"], row["size"])) for row in rows)
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

    def add(self, blocks: Sequence[tuple[bytes, int, Extent]]) -> list[Extent]:
        """Record stored blocks (digest, size, place); return the places of objects that no block needs.

        A block that is there already keeps its place. An object is only given back when none of its blocks was new.
        """
        present = self.find_present([digest for digest, _, _ in blocks])
        sizes: dict[str, int] = {}
        for _, _, extent in blocks:
            sizes[extent.object_key] = max(sizes.get(extent.object_key, 0), extent.offset + extent.length)
        fresh = {d: (size, extent) for d, size, extent in reversed(blocks) if d not in present}
        needed = dict.fromkeys(extent.object_key for _, extent in fresh.values())
        self._connection.executemany(
            "INSERT INTO objects (object_key, size, create_time) VALUES (?, ?, ?)",
            [(key, sizes[key], self._now_ms) for key in needed],
        )
        self._connection.executemany(
            'INSERT INTO blocks (digest, size, object_id, "offset", touch_time)'
            " VALUES (?, ?, (SELECT object_id FROM objects WHERE object_key = ?), ?, ?)"
            # A block whose bytes were lost is whole again at its new place, and with it every file that needs it.
            ' ON CONFLICT (digest) DO UPDATE SET object_id = excluded.object_id, "offset" = excluded."offset",'
            " state = 0, touch_time = excluded.touch_time",
            [(d, size, extent.object_key, extent.offset, self._now_ms) for d, (size, extent) in fresh.items()],
        )
        self.touch(list(present))
        return [extent for _, _, extent in blocks if extent.object_key not in needed]
