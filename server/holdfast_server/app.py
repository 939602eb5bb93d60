"""The composition root: the only module that imports every layer and chooses implementations."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from holdfast.v1 import access_service_pb2_grpc as access_grpc
from holdfast.v1 import artifact_service_pb2_grpc as artifact_grpc
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import live_artifact_service_pb2_grpc as live_grpc
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import model_service_pb2_grpc as model_grpc
from holdfast.v1 import run_service_pb2_grpc as run_grpc
from holdfast.v1 import storage_service_pb2_grpc as storage_grpc
from holdfast_server.config import MIB, ServerConfig
from holdfast_server.errors import DomainError
from holdfast_server.rpc.access_service import AccessServicer
from holdfast_server.rpc.artifact_service import ArtifactServicer
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.experiment_service import ExperimentServicer
from holdfast_server.rpc.guard import Guard
from holdfast_server.rpc.interceptor import ErrorInterceptor
from holdfast_server.rpc.live_artifact_service import LiveArtifactServicer
from holdfast_server.rpc.model_registry_service import ModelRegistryServicer
from holdfast_server.rpc.model_service import ModelServicer
from holdfast_server.rpc.run_service import RunServicer
from holdfast_server.rpc.storage_service import StorageServicer
from holdfast_server.rpc.watches import WatchSender
from holdfast_server.services.artifacts import ArtifactService
from holdfast_server.services.event_hub import EventHub
from holdfast_server.services.hiding import HidingDatabase
from holdfast_server.services.live_artifacts import LiveArtifactService
from holdfast_server.services.live_tails import TailService
from holdfast_server.services.live_watch import LiveWatch
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.services.ports.database import Database
from holdfast_server.services.run_leases import LeaseKeeper, LeaseTerms
from holdfast_server.services.store_access import StoreAccess
from holdfast_server.storage.blocks.identity import check_identity, confirm_identity
from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.blocks.packs import PackedBlockStore
from holdfast_server.storage.blocks.verifying import VerifyingBlockStore
from holdfast_server.storage.host_lock import HostLock
from holdfast_server.storage.spool import DirectorySpool
from holdfast_server.storage.sql.sqlite import SqliteDatabase

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
        for name in ("Access", "Artifact", "Experiment", "LiveArtifact", "Model", "ModelRegistry", "Run", "Storage")
    ),
    health.SERVICE_NAME,
)


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

    ``embedded``: it ends when no client is left.
    """

    def __init__(self, config: ServerConfig, *, embedded: bool = False) -> None:
        self.config, self._embedded = config, embedded
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.ExitStack() as opened:
            host_lock = HostLock(config.data_dir)
            opened.callback(host_lock.close)
            self.database = SqliteDatabase(config.data_dir / "holdfast.db", clock=SystemClock(), ids=RandomIds())
            opened.callback(self.database.close)
            objects = open_object_store(config)
            objects.check()
            self._check_identity(objects)
            executor = ThreadPoolExecutor(_threads(config), thread_name_prefix="blocks", initializer=_give_way)
            opened.callback(executor.shutdown)
            self._opened = opened.pop_all()  # nothing failed: ``stop`` closes it, the last first
        store = VerifyingBlockStore(PackedBlockStore(objects))
        # What calls see, who may not see everything where callers are asked who they are.
        self._seen: Database = HidingDatabase(self.database) if config.authenticates else self.database
        self._guard = Guard(self.database) if config.authenticates else None
        self.artifacts = ArtifactService(self._seen, store, executor)
        self.store_access = StoreAccess(
            database=self.database,
            blocks=store,
            objects=objects,
            executor=executor,
            ids=RandomIds(),
            host=f"Process {os.getpid()} on {socket.gethostname()}",
            check_identity=lambda: confirm_identity(objects, self.database.block_store()[0]),
        )
        self._watch = LiveWatch(self.database)
        self.live = LiveArtifactService(self._seen, store, executor, self._watch)
        self._tails = TailService(self._seen, store, executor, self._watch)
        self._hub = EventHub(self.database)
        self._lease_terms = LeaseTerms(round(config.run_lease * 1000), embedded)
        self.leases = LeaseKeeper(self.database, self._lease_terms)
        # For what is small and must get through while blocks wait: commits' inline data, and live artifacts.
        self._small_writes = ByteBudget(config.byte_budget // 2)
        self.ports: list[int] = []
        self._server: grpc.aio.Server | None = None
        self._maintenance: asyncio.Task[None] | None = None
        self._alone_at_ms = host_lock.alone_at_ms
        self._health = health.aio.HealthServicer()

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
            interceptors=[ErrorInterceptor(self.config.idle_timeout, self._guard)],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", 60_000),
            ],
        )
        self._add_services(server)
        await self._warn_of_tokens()
        await self.leases.start()
        self.ports = [_bind(server, address) for address in self.config.addresses]
        await server.start()
        self._server = server
        self._maintenance = asyncio.create_task(self._maintain())
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Refuse new calls, let those in progress finish, and close the storage."""
        await self._health.enter_graceful_shutdown()
        if self._maintenance is not None:
            self._maintenance.cancel()
        self._watch.stop()
        self._hub.stop()
        if self._guard is not None:
            self._guard.open_calls.stop()
        await self.leases.stop()
        if self._server is not None:
            await self._server.stop(self.config.drain_timeout)
        await asyncio.get_running_loop().run_in_executor(None, self._opened.close)

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
        access = AccessServicer(
            self.database, secrets.token_bytes, self._look_at_open_calls, authenticates=authenticates
        )
        access_grpc.add_AccessServiceServicer_to_server(access, server)
        servicer = ArtifactServicer(
            database,
            self.artifacts,
            DirectorySpool(self.config.data_dir),
            self._small_writes,
            byte_budget=self.config.byte_budget,
            max_message=MAX_MESSAGE,
            authenticates=authenticates,
        )
        artifact_grpc.add_ArtifactServiceServicer_to_server(servicer, server)
        if self.config.reflection:
            reflection.enable_server_reflection([*SERVICES, reflection.SERVICE_NAME], server)
        live = LiveArtifactServicer(
            database, self.live, self._tails, self._small_writes, byte_budget=self.config.byte_budget // 2
        )
        live_grpc.add_LiveArtifactServiceServicer_to_server(live, server)
        watches = WatchSender(database, self._hub)
        experiment_grpc.add_ExperimentServiceServicer_to_server(ExperimentServicer(database, watches), server)
        storage_grpc.add_StorageServiceServicer_to_server(StorageServicer(self.store_access), server)
        runs = RunServicer(database, SystemClock(), self._lease_terms, watches)
        run_grpc.add_RunServiceServicer_to_server(runs, server)
        model_grpc.add_ModelServiceServicer_to_server(ModelServicer(database), server)
        registry_grpc.add_ModelRegistryServiceServicer_to_server(ModelRegistryServicer(database, watches), server)


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot bind {address}: {error}") from error


def _threads(config: ServerConfig) -> int:
    """Threads that move blocks: with S3 they mostly wait for the network, so there are more of them."""
    return max(config.workers, S3_THREADS) if config.store else config.workers


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
