"""To be written."""

from __future__ import annotations

from holdfast_server.storage.sql.connection import Connection


class SqlRuns:
    """Rows of runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
