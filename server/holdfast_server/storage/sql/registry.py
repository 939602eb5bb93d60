"""To be written."""

from __future__ import annotations

from holdfast_server.storage.sql.connection import Connection


class SqlRegistry:
    """Rows of registry."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
