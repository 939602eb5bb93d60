"""Counts objects that no row knows."""

from __future__ import annotations

from holdfast_server.domain.upkeep import ORPHAN_AGE_MS
from holdfast_server.services.garbage import PREFIXES
from holdfast_server.services.store_access import StoreAccess, listed


async def count_orphans(access: StoreAccess) -> tuple[int, int]:
    """How many objects without a row there are, and their bytes: what servers left that died, or a restored backup.

    Those younger than an hour are not counted, since an upload may be about to record them. Takes a listing of the
    whole store.

    Raises:
        FailedPrecondition: STORE_MISMATCH, the store is not the one of this database.
        Unavailable: The store cannot be reached.
    """
    await access.confirm_identity()
    before = await access.database.read(lambda tx: tx.now_ms - ORPHAN_AGE_MS)
    count = size = 0
    for prefix in PREFIXES:
        async for batch in listed(access, prefix):
            old = {item.key: item.size for item in batch if item.modified_ms < before}
            unknown = await access.database.read(lambda tx, keys=list(old): tx.upkeep.garbage.find_unknown(keys))  # type: ignore[misc]
            count += len(unknown)
            size += sum(old[key] for key in unknown)
    return count, size
