"""What a client does to receive what another store holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from holdfast._calls import Calls, texts
from holdfast.entities import SyncedStore

if TYPE_CHECKING:
    from holdfast._client import Client


class SyncCalls(Calls):
    """What a client does to receive what another store holds."""

    def sync_from(
        self,
        source: str | os.PathLike[str],
        *,
        experiments: str | Iterable[str] | None = None,
        include_deleted: bool = False,
        include_versions: bool = False,
        dry_run: bool = False,
    ) -> SyncedStore:
        """Send this server what an embedded store holds: runs with all that they logged, and logged models.

        However often it is repeated, also after it was killed and weeks later, each thing arrives once; a repetition
        sends what was added at the source since. What somebody changed here stays, unless it changed at the source too.
        ``docs/offline.md`` has the rules.

        Args:
            source: The data directory, or the URI of the server that has it.
            experiments: Names of those to send; None for all.
            include_deleted: Send runs and models that are deleted at the source too, and delete them here.
            include_versions: Register the source's model versions here, under the next numbers.
            dry_run: Send nothing; tell what would be sent.

        Returns:
            What was sent, what was left at the source, and what could not be sent.

        Raises:
            InvalidArgumentError: ``source`` is no store, or the one of this server.
            UnavailableError: One of the servers cannot be reached, or that of ``source`` not be started. What was sent
                counts: the same call goes on.
        """
        from holdfast._store_sync.syncing import sync_store

        return sync_store(
            cast("Client", self),
            source,
            experiments=None if experiments is None else texts(experiments),
            include_deleted=include_deleted,
            include_versions=include_versions,
            dry_run=dry_run,
        )
