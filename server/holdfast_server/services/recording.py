"""Rows for what was stored, made soon enough."""

from __future__ import annotations

import time
from collections.abc import Sequence

from holdfast_server.domain.artifacts import Extent
from holdfast_server.domain.upkeep import ORPHAN_AGE_MS
from holdfast_server.errors import Unavailable
from holdfast_server.services.access import current_viewer
from holdfast_server.services.ports.artifacts import AddedBlocks
from holdfast_server.services.ports.database import Transaction

# Objects that are not recorded by then may be taken for orphans: gc removes those of an hour, and clocks may differ.
MAX_UNRECORDED_MS = ORPHAN_AGE_MS // 2

BlockRow = tuple[bytes, int, Extent]


def now_ms() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def record(tx: Transaction, rows: Sequence[BlockRow], began_ms: int) -> AddedBlocks:
    """Make rows for what was stored since ``began_ms``; who sent it may know from now on that it is there.

    Raises:
        Unavailable: It took so long, in a suspended machine for example, that the objects may have been collected.
    """
    if not rows:
        return AddedBlocks()
    if tx.now_ms - began_ms > MAX_UNRECORDED_MS:
        raise Unavailable("Storing the blocks took so long that they may have been collected. Send them again.")
    added = tx.blocks.add(rows)
    viewer = current_viewer()
    if viewer is not None:
        tx.known_blocks.add_sent([digest for digest, _, _ in rows], viewer)
    return added
