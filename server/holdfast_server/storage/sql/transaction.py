"""All repositories over one connection, inside one transaction."""

from __future__ import annotations

from functools import cached_property

from holdfast_server.domain.registry_history import Actor
from holdfast_server.services.ports.database import Ids
from holdfast_server.storage.sql.access import SqlAccess
from holdfast_server.storage.sql.audit import SqlAudit
from holdfast_server.storage.sql.blocks import SqlBlockIndex
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.events import SqlEvents
from holdfast_server.storage.sql.experiments import SqlExperiments
from holdfast_server.storage.sql.known_blocks import SqlKnownBlocks
from holdfast_server.storage.sql.live import SqlLiveFiles
from holdfast_server.storage.sql.models import SqlLoggedModels
from holdfast_server.storage.sql.recorded_registry import RecordedRegistry
from holdfast_server.storage.sql.registry import SqlRegistry
from holdfast_server.storage.sql.registry_history import SqlRegistryHistory
from holdfast_server.storage.sql.requests import SqlRequests
from holdfast_server.storage.sql.run_leases import SqlRunLeases
from holdfast_server.storage.sql.runs import SqlRuns
from holdfast_server.storage.sql.trees import SqlTrees
from holdfast_server.storage.sql.upkeep import SqlUpkeep


class SqlTransaction:
    """Implements ``services.ports.database.Transaction``; repositories are made when first used."""

    def __init__(self, connection: Connection, now_ms: int, ids: Ids) -> None:
        self._connection = connection
        self.now_ms = now_ms
        self.ids = ids

    @cached_property
    def experiments(self) -> SqlExperiments:
        """Experiments and their tags."""
        return SqlExperiments(self._connection)

    @cached_property
    def runs(self) -> SqlRuns:
        """Runs with params, tags, metrics and links."""
        return SqlRuns(self._connection)

    @cached_property
    def models(self) -> SqlLoggedModels:
        """Logged models."""
        return SqlLoggedModels(self._connection)

    @cached_property
    def registry(self) -> SqlRegistry:
        """Registered models, versions and aliases."""
        return SqlRegistry(self._connection)

    @cached_property
    def registry_history(self) -> SqlRegistryHistory:
        """What happened to registered models and versions."""
        return SqlRegistryHistory(self._connection)

    def change_registry(self, actor: Actor) -> RecordedRegistry:
        """Changes of the registry by ``actor``, who is written down with each."""
        return RecordedRegistry(self.registry, self.registry_history, self.events, actor, self.now_ms)

    @cached_property
    def trees(self) -> SqlTrees:
        """Artifact trees."""
        return SqlTrees(self._connection, self.now_ms)

    @cached_property
    def blocks(self) -> SqlBlockIndex:
        """Where blocks are."""
        return SqlBlockIndex(self._connection, self.now_ms)

    @cached_property
    def known_blocks(self) -> SqlKnownBlocks:
        """Which blocks somebody may know of."""
        return SqlKnownBlocks(self._connection, self.now_ms)

    @cached_property
    def upkeep(self) -> SqlUpkeep:
        """What is unused, what is broken, and who looks after it."""
        return SqlUpkeep(self._connection, self.now_ms)

    @cached_property
    def live(self) -> SqlLiveFiles:
        """Files that are being written."""
        return SqlLiveFiles(self._connection, self.now_ms, self.ids)

    @cached_property
    def events(self) -> SqlEvents:
        """What changed."""
        return SqlEvents(self._connection, self.now_ms)

    @cached_property
    def run_leases(self) -> SqlRunLeases:
        """Whose clients are there."""
        return SqlRunLeases(self._connection, self.now_ms)

    @cached_property
    def access(self) -> SqlAccess:
        """Who may do what."""
        return SqlAccess(self._connection, self.now_ms)

    @cached_property
    def audit(self) -> SqlAudit:
        """Who changed what."""
        return SqlAudit(self._connection, self.now_ms)

    @cached_property
    def page_token_key(self) -> bytes:
        """The key that page tokens are signed with; every process on the database has the same."""
        statement = "SELECT secret_key FROM signing_keys WHERE purpose = 'page_token'"
        return bytes(self._connection.execute(statement).fetchone()["secret_key"])

    @cached_property
    def requests(self) -> SqlRequests:
        """Answers of earlier mutations; used by the database itself."""
        return SqlRequests(self._connection, self.now_ms)

    @property
    def store_id(self) -> str:
        """Names this database's data; its copies have the same."""
        return self.block_store()[0]

    def block_store(self) -> tuple[str, str]:
        """The id and the description of the store that holds this database's blocks."""
        row = self._connection.execute("SELECT store_id, description FROM block_store").fetchone()
        return row["store_id"], row["description"]

    def prove_writable(self) -> None:
        """Write a row that nobody sees, and remove it. An update that changes nothing would write nothing."""
        name = f"probe-{self.ids.new_id()}"
        self._connection.execute("INSERT INTO leases VALUES (?, '', '', 0, 0)", (name,))
        self._connection.execute("DELETE FROM leases WHERE name = ?", (name,))

    def optimize(self) -> None:
        """Refresh the planner's statistics where they are stale."""
        self._connection.execute("PRAGMA optimize")
