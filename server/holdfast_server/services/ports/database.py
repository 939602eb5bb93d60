"""Transactions, time and ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from holdfast_server.domain.registry_history import Actor
from holdfast_server.services.ports.access import AccessRepository
from holdfast_server.services.ports.artifacts import BlockIndex, KnownBlocks, TreeRepository
from holdfast_server.services.ports.audit import AuditRepository
from holdfast_server.services.ports.events import EventRepository, RunLeaseRepository
from holdfast_server.services.ports.live import LiveRepository
from holdfast_server.services.ports.registry import RegistryHistory, RegistryReader, RegistryWriter
from holdfast_server.services.ports.tracking import ExperimentRepository, LoggedModelRepository, RunRepository
from holdfast_server.services.ports.upkeep import UpkeepRepository

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time; injected, so that tests can set it."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


class Ids(Protocol):
    """Makes ids; injected, so that tests can foresee them."""

    def new_id(self) -> str:
        """128 random bits as 32 hex digits."""
        ...


class Transaction(Protocol):
    """The repositories as one transaction sees them. Use cases are plain functions over it."""

    @property
    def now_ms(self) -> int:
        """The time of this transaction; the same for all that it writes."""
        ...

    @property
    def ids(self) -> Ids:
        """Source of new ids."""
        ...

    @property
    def experiments(self) -> ExperimentRepository:
        """Experiments and their tags."""
        ...

    @property
    def runs(self) -> RunRepository:
        """Runs with params, tags, metrics and links."""
        ...

    @property
    def models(self) -> LoggedModelRepository:
        """Logged models."""
        ...

    @property
    def registry(self) -> RegistryReader:
        """Registered models, versions and aliases."""
        ...

    @property
    def registry_history(self) -> RegistryHistory:
        """What happened to registered models and versions."""
        ...

    def change_registry(self, actor: Actor) -> RegistryWriter:
        """Changes of the registry by ``actor``, who is written down with each."""
        ...

    @property
    def trees(self) -> TreeRepository:
        """Artifact trees."""
        ...

    @property
    def blocks(self) -> BlockIndex:
        """Where blocks are."""
        ...

    @property
    def known_blocks(self) -> KnownBlocks:
        """Which blocks somebody may know of."""
        ...

    @property
    def upkeep(self) -> UpkeepRepository:
        """What is unused, what is broken, and who looks after it."""
        ...

    @property
    def live(self) -> LiveRepository:
        """Files that are being written."""
        ...

    @property
    def events(self) -> EventRepository:
        """What changed."""
        ...

    @property
    def run_leases(self) -> RunLeaseRepository:
        """Whose clients are there."""
        ...

    @property
    def access(self) -> AccessRepository:
        """Who may do what."""
        ...

    @property
    def audit(self) -> AuditRepository:
        """Who changed what."""
        ...

    @property
    def store_id(self) -> str:
        """Names this database's data; its copies have the same."""
        ...

    @property
    def page_token_key(self) -> bytes:
        """The key that page tokens are signed with; every process on the database has the same."""
        ...


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Identifies a mutation, so that a retry has one effect and the same answer."""

    principal: str
    request_id: str
    method: str
    payload_hash: bytes


class Database(Protocol):
    """Runs functions in transactions, off the event loop."""

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` on a snapshot; it cannot write."""
        ...

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run ``job`` and return when its transaction is durable. If it raises, nothing it did is kept."""
        ...

    async def write_once(self, key: RequestKey | None, job: Callable[[Transaction], bytes]) -> bytes:
        """Like ``write``; when ``key`` was seen before, return its answer and do nothing.

        Raises:
            InvalidArgument: REQUEST_ID_REUSED, the key came before with another payload or method.
        """
        ...

    def on_events(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from any thread, after each commit of this process that recorded events."""
        ...
