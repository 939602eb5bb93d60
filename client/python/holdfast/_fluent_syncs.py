"""Fluent functions that send what did not arrive yet: from journals, and from embedded stores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast._connection import current_client

if TYPE_CHECKING:
    from holdfast.entities import SyncedJournal, SyncedStore


def sync(*, dry_run: bool = False) -> list[SyncedJournal]:
    """Send what processes of this user and machine logged and could not send before they ended, to where it belongs.

    However often this is called, also at once and weeks later, each point arrives once. See ``holdfast sync``.

    Args:
        dry_run: Send nothing; tell what waits.
    """
    from holdfast._journal import syncing

    return syncing.sync(dry_run=dry_run)


def sync_from(source: str | os.PathLike[str], *, dry_run: bool = False) -> SyncedStore:
    """Send the current server what an embedded store holds, once, however often; see ``Client.sync_from``.

    Args:
        source: The data directory, such as ``.holdfast``.
        dry_run: Send nothing; tell what would be sent.
    """
    return current_client().sync_from(source, dry_run=dry_run)
