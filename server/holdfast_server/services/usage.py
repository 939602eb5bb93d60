"""What takes how much space."""

from __future__ import annotations

import dataclasses

from holdfast_server.domain.upkeep import DEFAULT_GRACE_MS, StorageUsage
from holdfast_server.services.ports.database import Database

# Trees that are measured in one transaction.
STEP = 200


async def storage_usage(database: Database, *, group: str, limit: int) -> StorageUsage:
    """Sums over the whole store, and the largest of a group.

    Trees that changed since the last time are measured first, and that is kept; so the next call is faster.

    Args:
        database: Of the store.
        group: ``"experiments"``, ``"runs"`` or ``"models"``.
        limit: How many of them.
    """
    after = 0
    while True:
        changed = await database.read(lambda tx, after=after: tx.upkeep.usage.list_unmeasured(after, STEP))  # type: ignore[misc]
        if not changed:
            break
        after = changed[-1]
        measures = await database.read(
            lambda tx, ids=changed: [(tree_id, tx.upkeep.usage.measure(tree_id)) for tree_id in ids]  # type: ignore[misc]
        )
        await database.write(
            lambda tx, found=measures: [tx.upkeep.usage.keep_measure(tree_id, m) for tree_id, m in found]  # type: ignore[misc]
        )
    usage = await database.read(
        lambda tx: tx.upkeep.usage.totals(before_ms=tx.now_ms - DEFAULT_GRACE_MS, now_ms=tx.now_ms)
    )
    top = await database.read(lambda tx: tx.upkeep.usage.largest(group, limit))
    return dataclasses.replace(usage, top=tuple(top))
