"""The repositories of upkeep over one connection."""

from __future__ import annotations

from functools import cached_property

from holdfast_server.storage.sql.checks import SqlChecks
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.forecast import forecast
from holdfast_server.storage.sql.garbage import SqlGarbage
from holdfast_server.storage.sql.history import SqlHistory
from holdfast_server.storage.sql.leases import SqlLeases
from holdfast_server.storage.sql.purge import SqlPurge
from holdfast_server.storage.sql.usage import SqlUsage


class SqlUpkeep:
    """Implements ``UpkeepRepository``."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms

    @cached_property
    def leases(self) -> SqlLeases:
        """Who does what."""
        return SqlLeases(self._connection, self._now_ms)

    @cached_property
    def history(self) -> SqlHistory:
        """Old snapshots."""
        return SqlHistory(self._connection)

    @cached_property
    def purge(self) -> SqlPurge:
        """Deleted runs and models."""
        return SqlPurge(self._connection, self._now_ms)

    @cached_property
    def garbage(self) -> SqlGarbage:
        """What is unused."""
        return SqlGarbage(self._connection, self._now_ms)

    @cached_property
    def checks(self) -> SqlChecks:
        """What is broken."""
        return SqlChecks(self._connection)

    @cached_property
    def usage(self) -> SqlUsage:
        """What takes space."""
        return SqlUsage(self._connection)

    def forecast(self, *, before_ms: int, purge_before_ms: int | None) -> tuple[int, int, int, int]:
        """What a collection would delete: entries, files, blocks and their bytes; only on a reader's connection."""
        return forecast(self._connection, self.history, before_ms=before_ms, purge_before_ms=purge_before_ms)
