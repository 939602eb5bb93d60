"""The composition root: the only module that imports every layer and chooses implementations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket

import grpc
from grpc_reflection.v1alpha import reflection

from holdfast_server.calls import CallObserver
from holdfast_server.config import ServerConfig
from holdfast_server.host import RandomIds, SystemClock
from holdfast_server.maintenance import maintain_for_ever
from holdfast_server.operations import Operations, metrics_for, tracing_for
from holdfast_server.rpc.access_log import AccessLog
from holdfast_server.rpc.access_service import AccessServicer
from holdfast_server.rpc.artifact_service import ArtifactServicer
from holdfast_server.rpc.audit_service import AuditServicer
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.experiment_service import ExperimentServicer
from holdfast_server.rpc.guard import Guard
from holdfast_server.rpc.health import HealthReport
from holdfast_server.rpc.interceptor import ErrorInterceptor
from holdfast_server.rpc.limits import Limits, LimitTerms
from holdfast_server.rpc.live_artifact_service import LiveArtifactServicer
from holdfast_server.rpc.model_registry_service import ModelRegistryServicer
from holdfast_server.rpc.model_service import ModelServicer
from holdfast_server.rpc.observing import ObservingInterceptor
from holdfast_server.rpc.registration import SERVICES, add_servicers
from holdfast_server.rpc.run_service import RunServicer
from holdfast_server.rpc.server_service import ServerFacts, ServerServicer
from holdfast_server.rpc.storage_service import StorageServicer
from holdfast_server.rpc.watches import WatchSender
from holdfast_server.services.artifacts import ArtifactService
from holdfast_server.services.audit_sealing import AuditSealer
from holdfast_server.services.event_hub import EventHub
from holdfast_server.services.hiding import HidingDatabase
from holdfast_server.services.live_artifacts import LiveArtifactService
from holdfast_server.services.live_tails import TailService
from holdfast_server.services.live_watch import LiveWatch
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.services.ports.database import Database
from holdfast_server.services.readiness import Readiness
from holdfast_server.services.run_leases import LeaseKeeper, LeaseTerms
from holdfast_server.services.store_access import StoreAccess
from holdfast_server.storage.blocks.identity import confirm_identity
from holdfast_server.storage.blocks.measuring import MeasuringObjectStore
from holdfast_server.storage.blocks.packs import PackedBlockStore
from holdfast_server.storage.blocks.probing import try_out
from holdfast_server.storage.blocks.verifying import VerifyingBlockStore
from holdfast_server.storage.host_lock import HostLock
from holdfast_server.storage.privacy import make_data_directory
from holdfast_server.storage.spool import DirectorySpool
from holdfast_server.storage.sql.connection import journal_mode, sqlite_version
from holdfast_server.storage.sql.measuring import MeasuringDatabase
from holdfast_server.storage.sql.sqlite import SqliteDatabase
from holdfast_server.stores import open_block_threads, open_object_store
from holdfast_server.threads import CallThreads
from holdfast_server.transport import MAX_MESSAGE, bind, make_server, open_certificates

logger = logging.getLogger(__name__)


class App:
    """A running server: open, ``start``, wait, ``stop``.

    ``embedded``: it ends when no client is left. ``shares_ports``: other processes of this server bind the same.
    """

    def __init__(self, config: ServerConfig, *, embedded: bool = False, shares_ports: bool = False) -> None:
        self.config, self._embedded, self._shares_ports = config, embedded, shares_ports
        self._certificates = open_certificates(config)
        make_data_directory(config.data_dir)
        with contextlib.ExitStack() as opened:
            host_lock = HostLock(config.data_dir)
            opened.callback(host_lock.close)
            self.database = SqliteDatabase(config.data_dir / "holdfast.db", clock=SystemClock(), ids=RandomIds())
            opened.callback(self.database.close)
            self._metrics, self._tracing = metrics_for(config), tracing_for(config)
            objects = open_object_store(config, self.database)
            if self._metrics is not None:
                objects = MeasuringObjectStore(objects, self._metrics)
            executor = open_block_threads(config)
            opened.callback(executor.shutdown)
            self._opened = opened.pop_all()  # nothing failed: ``stop`` closes it, the last first
        store = VerifyingBlockStore(PackedBlockStore(objects))
        database: Database = self.database
        if self._metrics is not None:
            database = MeasuringDatabase(database, self._metrics)
        # What calls see, who may not see everything where callers are asked who they are.
        seen = self._seen = HidingDatabase(database) if config.authenticates else database
        self._guard = Guard(database) if config.authenticates else None
        # Without authentication nothing is written down, and there is nothing to seal.
        self._sealer = AuditSealer(database, config.audit_interval) if config.authenticates else None
        self.artifacts = ArtifactService(seen, store, executor, observer=self._metrics)
        self.store_access = StoreAccess(
            database=database,
            blocks=store,
            objects=objects,
            executor=executor,
            ids=RandomIds(),
            host=f"Process {os.getpid()} on {socket.gethostname()}",
            check_identity=lambda: confirm_identity(objects, self.database.block_store()[0]),
        )
        self._watch = LiveWatch(database)
        self.live = LiveArtifactService(seen, store, executor, self._watch)
        self._tails = TailService(seen, store, executor, self._watch)
        self._hub = EventHub(database)
        self._lease_terms = LeaseTerms(round(config.run_lease * 1000), embedded)
        self.leases = LeaseKeeper(database, self._lease_terms)
        # For what is small and must get through while blocks wait: commits' inline data, and live artifacts.
        self._small_writes = ByteBudget(config.byte_budget // 2)
        # Budgets of their own: readers that wait for slow networks must not keep writers from finishing, nor the
        # reverse, and neither of them commits.
        self._budgets = {
            "uploads": ByteBudget(config.byte_budget),
            "downloads": ByteBudget(config.byte_budget),
            "small_writes": self._small_writes,
            "tails": ByteBudget(config.byte_budget // 2),
        }
        self.ports: list[int] = []
        self._server: grpc.aio.Server | None = None
        self._maintenance: asyncio.Task[None] | None = None
        self._alone_at_ms = host_lock.alone_at_ms
        self._health = HealthReport()
        self._probes_by_itself = not embedded  # which nobody asks, and which is to leave an idle laptop alone
        self._readiness = self._make_readiness(objects)
        self.limits = Limits(_limit_terms(config), self._waiting)
        self._executor = executor
        self.operations: Operations | None = None
        if self._metrics is not None:
            self.operations = Operations(config, self._metrics, self._readiness, self.store_access)
            self.operations.show(
                queues={
                    "sql_write": lambda: self.database.waiting_writes,
                    "sql_read": lambda: self.database.waiting_reads,
                    "blocks": lambda: executor.waiting,
                },
                budgets=self._budgets,
                refusals=self.limits.refused,
                sqlite_version=".".join(map(str, sqlite_version)),
            )

    def _waiting(self) -> int:
        """How much waits, where most does."""
        budgets = max(budget.waiters for budget in self._budgets.values())
        return max(self.database.waiting_writes, self.database.waiting_reads, self._executor.waiting, budgets)

    def _make_readiness(self, objects: ObjectStore) -> Readiness:
        # A thread of its own: those that move blocks may be busy for long, which is no failure of the store.
        thread = CallThreads(1, name="probe")
        self._opened.callback(thread.shutdown, wait=False, cancel_futures=True)

        async def probe_store() -> None:
            await asyncio.get_running_loop().run_in_executor(thread, try_out, objects, "The block store")

        return Readiness(
            {"database": self.database.probe, "store": probe_store},
            interval=self.config.probe_interval,
            report=self._health.report,
        )

    async def start(self) -> None:
        """Bind the addresses and serve.

        Raises:
            OSError: An address cannot be bound.
        """
        interceptors = [
            ObservingInterceptor(self._observers(), self._metrics),
            ErrorInterceptor(self.config.idle_timeout, self._guard, self.limits),
        ]
        server = make_server(self.config, interceptors, shares_ports=self._shares_ports)
        self._add_services(server)
        await self._warn_of_tokens()
        await self.leases.start()
        self.ports = [bind(server, address, self._certificates) for address in self.config.addresses]
        if self.operations is not None:
            await self.operations.start()
        await server.start()
        self._server = server
        self._maintenance = asyncio.create_task(
            maintain_for_ever(self.database, self.live, alone_at_ms=self._alone_at_ms)
        )
        if self._sealer is not None:
            await self._sealer.start()
        await self._health.report({})  # what a server stands on was tried out when it was opened
        if self._probes_by_itself:
            await self._readiness.start()

    async def stop(self) -> None:
        """Refuse new calls, let those in progress finish, and close the storage."""
        await self._health.drain()
        if self.operations is not None:
            self.operations.drain()
        await self._readiness.stop()
        if self._maintenance is not None:
            self._maintenance.cancel()
        self._watch.stop()
        self._hub.stop()
        if self._guard is not None:
            self._guard.open_calls.stop()
        await self.leases.stop()
        if self._sealer is not None:
            await self._sealer.stop()
        if self._server is not None:
            await self._server.stop(self.config.drain_timeout)
        if self.operations is not None:
            await self.operations.stop()
        loop = asyncio.get_running_loop()
        if self._tracing is not None:
            await loop.run_in_executor(None, self._tracing.close)
        await loop.run_in_executor(None, self._opened.close)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        if self._server is not None:
            await self._server.wait_for_termination()

    def _observers(self) -> list[CallObserver]:
        """Those who hear of each call."""
        observers: list[CallObserver] = []
        if self.config.access_log != "off":
            observers.append(AccessLog(logging.getLevelName(self.config.access_log.upper())))
        if self._metrics is not None:
            observers.append(self._metrics)
        if self._tracing is not None:
            observers.append(self._tracing)
        return observers

    async def _warn_of_tokens(self) -> None:
        """Tell whoever forgot the setting that once asked for tokens; the owner's own embedded server needs none."""
        if self._guard is not None or self._embedded:
            return
        if await self.database.read(lambda tx: tx.access.list_principals("", 1)):
            logger.warning("Whoever reaches this server may do everything: tokens were made, and --auth is off.")

    async def _look_at_open_calls(self) -> None:
        if self._guard is not None:
            await self._guard.open_calls.look()

    def _add_services(self, server: grpc.aio.Server) -> None:
        authenticates, database, budgets = self.config.authenticates, self._seen, self._budgets
        watches = WatchSender(database, self._hub)
        add_servicers(
            server,
            access=AccessServicer(database, secrets.token_bytes, self._look_at_open_calls, authenticates=authenticates),
            artifacts=ArtifactServicer(
                database,
                self.artifacts,
                DirectorySpool(self.config.data_dir),
                self._small_writes,
                uploads=budgets["uploads"],
                downloads=budgets["downloads"],
                max_message=MAX_MESSAGE,
                authenticates=authenticates,
            ),
            audit=AuditServicer(self.database),
            experiments=ExperimentServicer(database, watches),
            live_artifacts=LiveArtifactServicer(
                database, self.live, self._tails, self._small_writes, tails_budget=budgets["tails"]
            ),
            models=ModelServicer(database),
            registry=ModelRegistryServicer(database, watches),
            runs=RunServicer(database, SystemClock(), self._lease_terms, watches),
            server_info=ServerServicer(self._facts(), self._readiness, SystemClock()),
            storage=StorageServicer(self.store_access),
            health=self._health.servicer,
        )
        if self.config.reflection:
            reflection.enable_server_reflection([*SERVICES, reflection.SERVICE_NAME], server)

    def _facts(self) -> ServerFacts:
        def disk() -> tuple[int, int]:
            usage = shutil.disk_usage(self.config.data_dir)
            return usage.free, usage.total

        return ServerFacts(
            services=SERVICES,
            sqlite_version=".".join(map(str, sqlite_version)),
            sqlite_journal=journal_mode(),
            store_is_s3=bool(self.config.store),
            disk=disk,
        )


def _limit_terms(config: ServerConfig) -> LimitTerms:
    return LimitTerms(
        streams=config.max_streams,
        caller_streams=config.max_caller_streams,
        strangers=config.max_strangers,
        caller_requests=config.max_caller_requests,
        caller_rate=config.max_caller_rate,
        waiting=config.max_waiting,
    )
