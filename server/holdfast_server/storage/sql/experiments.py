"""To be written."""

from __future__ import annotations

from holdfast_server.storage.sql.connection import Connection


class SqlExperiments:
    """Rows of experiments."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
