"""The composition root: the only module that imports every layer and chooses implementations."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from holdfast.v1 import access_service_pb2_grpc as access_grpc
from holdfast.v1 import artifact_service_pb2_grpc as artifact_grpc
from holdfast.v1 import audit_service_pb2_grpc as audit_grpc
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import live_artifact_service_pb2_grpc as live_grpc
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import model_service_pb2_grpc as model_grpc
from holdfast.v1 import run_service_pb2_grpc as run_grpc
from holdfast.v1 import server_service_pb2_grpc as server_grpc
from holdfast.v1 import storage_service_pb2_grpc as storage_grpc
from holdfast_server.calls import CallObserver
from holdfast_server.config import MIB, ServerConfig
from holdfast_server.errors import DomainError
from holdfast_server.operations import Operations, metrics_for, tracing_for
from holdfast_server.rpc.access_log import AccessLog
from holdfast_server.rpc.access_service import AccessServicer
from holdfast_server.rpc.artifact_service import ArtifactServicer
from holdfast_server.rpc.audit_service import AuditServicer
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.experiment_service import ExperimentServicer
from holdfast_server.rpc.guard import Guard
from holdfast_server.rpc.interceptor import ErrorInterceptor
from holdfast_server.rpc.limits import Limits, LimitTerms
from holdfast_server.rpc.live_artifact_service import LiveArtifactServicer
from holdfast_server.rpc.model_registry_service import ModelRegistryServicer
from holdfast_server.rpc.model_service import ModelServicer
from holdfast_server.rpc.observing import ObservingInterceptor
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
from holdfast_server.services.readiness import Finding, Readiness
from holdfast_server.services.run_leases import LeaseKeeper, LeaseTerms
from holdfast_server.services.store_access import StoreAccess
from holdfast_server.storage.blocks.identity import check_identity, confirm_identity
from holdfast_server.storage.blocks.local import LocalObjectStore
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
from holdfast_server.threads import CallThreads

if TYPE_CHECKING:
    from holdfast_server.tls.reloading import ReloadingCertificates

logger = logging.getLogger(__name__)

MAX_MESSAGE = 4 * MIB
MAINTENANCE_SECONDS = 3600
S3_THREADS = 8
# By how much the threads that hash, store and read blocks are nicer than the rest of the server; with it they get a
# tenth of what others get who want the same core.
BLOCKS_NICE = 10
SERVICES = (
    *(
        f"holdfast.v1.{name}Service"
        for name in (
            "Access",
            "Artifact",
            "Audit",
            "Experiment",
            "LiveArtifact",
            "Model",
            "ModelRegistry",
            "Run",
            "Server",
            "Storage",
        )
    ),
    health.SERVICE_NAME,
)
# Those that cannot work without the block store.
NEED_STORE = {f"holdfast.v1.{name}Service" for name in ("Artifact", "LiveArtifact", "Storage")}


class SystemClock:
    """The host's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000


class RandomIds:
    """Ids from the operating system's random numbers."""

    def new_id(self) -> str:
        """128 random bits as 32 hex digits."""
        return secrets.token_hex(16)


class App:
    """A running server: open, ``start``, wait, ``stop``.

    ``embedded``: it ends when no client is left. ``shares_ports``: other processes of this server bind the same.
    """

    def __init__(self, config: ServerConfig, *, embedded: bool = False, shares_ports: bool = False) -> None:
        self.config, self._embedded, self._shares_ports = config, embedded, shares_ports
        self._certificates = _certificates(config)
        make_data_directory(config.data_dir)
        with contextlib.ExitStack() as opened:
            host_lock = HostLock(config.data_dir)
            opened.callback(host_lock.close)
            self.database = SqliteDatabase(config.data_dir / "holdfast.db", clock=SystemClock(), ids=RandomIds())
            opened.callback(self.database.close)
            self._metrics, self._tracing = metrics_for(config), tracing_for(config)
            objects = open_object_store(config)
            objects.check()
            self._check_identity(objects)
            if self._metrics is not None:
                objects = MeasuringObjectStore(objects, self._metrics)
            executor = CallThreads(_threads(config), name="blocks", initializer=_give_way)
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
        self._health = health.aio.HealthServicer()
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
            report=self._report_health,
        )

    async def _report_health(self, findings: Mapping[str, Finding]) -> None:
        """Tell those who ask for the health of a service, or of all ("")."""
        failed = {name for name, finding in findings.items() if not finding.is_fine}
        for service in ("", *SERVICES):
            needs = {"database", "store"} if not service or service in NEED_STORE else {"database"}
            serving = service == health.SERVICE_NAME or not failed & needs
            status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
            await self._health.set(service, status)

    def _check_identity(self, objects: ObjectStore) -> None:
        """Refuse a store that is not this database's; processes that start together take turns."""
        described = self.config.store or "its data directory"
        with (self.config.data_dir / "store.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            store_id, known_as = self.database.block_store()
            check_identity(objects, store_id, described, known_as=known_as)
            if not known_as:
                self.database.set_block_store(described)

    async def start(self) -> None:
        """Bind the addresses and serve.

        Raises:
            OSError: An address cannot be bound.
        """
        server = grpc.aio.server(
            interceptors=[
                ObservingInterceptor(self._observers(), self._metrics),
                ErrorInterceptor(self.config.idle_timeout, self._guard, self.limits),
            ],
            options=[
                ("grpc.max_receive_message_length", self.config.max_message),
                ("grpc.max_concurrent_streams", self.config.max_connection_calls),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", int(self._shares_ports)),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", 60_000),
            ],
        )
        self._add_services(server)
        await self._warn_of_tokens()
        await self.leases.start()
        self.ports = [self._bind(server, address) for address in self.config.addresses]
        if self.operations is not None:
            await self.operations.start()
        await server.start()
        self._server = server
        self._maintenance = asyncio.create_task(self._maintain())
        if self._sealer is not None:
            await self._sealer.start()
        await self._report_health({})  # what a server stands on was tried out when it was opened
        if self._probes_by_itself:
            await self._readiness.start()

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        """Bind an address; a Unix socket needs no TLS, as only its owner can connect."""
        try:
            if self._certificates is None or address.startswith("unix:"):
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._certificates.credentials())
        except RuntimeError as error:
            raise OSError(f"cannot bind {address}: {error}") from error

    async def stop(self) -> None:
        """Refuse new calls, let those in progress finish, and close the storage."""
        await self._health.enter_graceful_shutdown()
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

    async def _maintain(self) -> None:
        while True:
            try:
                await self.database.maintain(alone_at_ms=self._alone_at_ms)
                await self.live.close_abandoned()
            except DomainError as error:
                logger.warning("maintenance was put off: %s", error.message)
            except Exception:
                logger.exception("maintenance failed; it is tried again in an hour")
            await asyncio.sleep(MAINTENANCE_SECONDS)

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
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        authenticates, database = self.config.authenticates, self._seen
        access = AccessServicer(database, secrets.token_bytes, self._look_at_open_calls, authenticates=authenticates)
        access_grpc.add_AccessServiceServicer_to_server(access, server)
        audit_grpc.add_AuditServiceServicer_to_server(AuditServicer(self.database), server)
        servicer = ArtifactServicer(
            database,
            self.artifacts,
            DirectorySpool(self.config.data_dir),
            self._small_writes,
            uploads=self._budgets["uploads"],
            downloads=self._budgets["downloads"],
            max_message=MAX_MESSAGE,
            authenticates=authenticates,
        )
        artifact_grpc.add_ArtifactServiceServicer_to_server(servicer, server)
        if self.config.reflection:
            reflection.enable_server_reflection([*SERVICES, reflection.SERVICE_NAME], server)
        live = LiveArtifactServicer(
            database, self.live, self._tails, self._small_writes, tails_budget=self._budgets["tails"]
        )
        live_grpc.add_LiveArtifactServiceServicer_to_server(live, server)
        watches = WatchSender(database, self._hub)
        experiment_grpc.add_ExperimentServiceServicer_to_server(ExperimentServicer(database, watches), server)
        storage_grpc.add_StorageServiceServicer_to_server(StorageServicer(self.store_access), server)
        info = ServerServicer(self._facts(), self._readiness, SystemClock())
        server_grpc.add_ServerServiceServicer_to_server(info, server)
        runs = RunServicer(database, SystemClock(), self._lease_terms, watches)
        run_grpc.add_RunServiceServicer_to_server(runs, server)
        model_grpc.add_ModelServiceServicer_to_server(ModelServicer(database), server)
        registry_grpc.add_ModelRegistryServiceServicer_to_server(ModelRegistryServicer(database, watches), server)

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
        caller_requests=config.max_caller_requests,
        caller_rate=config.max_caller_rate,
        waiting=config.max_waiting,
    )


def _certificates(config: ServerConfig) -> ReloadingCertificates | None:
    """What ports are served with; None: without TLS."""
    if config.tls_cert is None:
        return None
    from holdfast_server.tls.files import TlsFiles  # cryptography takes a while, and few need it
    from holdfast_server.tls.reloading import ReloadingCertificates

    files = TlsFiles.of(config)
    return ReloadingCertificates(files) if files is not None else None


def _threads(config: ServerConfig) -> int:
    """Threads that move blocks: with S3 they mostly wait for the network, so there are more of them."""
    return max(config.block_threads, S3_THREADS) if config.store else config.block_threads


def open_object_store(config: ServerConfig) -> ObjectStore:
    """The store that the configuration names."""
    if not config.store:
        return LocalObjectStore(config.data_dir / "store")
    from holdfast_server.storage.blocks.s3 import open_s3_store

    return open_s3_store(config.store, config.s3_credentials_file)


def _give_way() -> None:
    """Let this thread wait for those that answer small calls, where cores are scarce; on Linux a thread can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.nice(BLOCKS_NICE)
