"""To be written."""

from __future__ import annotations

from holdfast_server.storage.sql.connection import Connection


class SqlBlockIndex:
    """Rows of blocks."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms
