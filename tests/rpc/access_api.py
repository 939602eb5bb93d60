"""A server that asks who calls, and callers of it with roles."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from holdfast.v1 import (
    access_pb2,
    access_service_pb2_grpc,
    artifact_service_pb2_grpc,
    audit_service_pb2_grpc,
    experiment_service_pb2_grpc,
    live_artifact_service_pb2_grpc,
    model_registry_service_pb2_grpc,
    model_service_pb2_grpc,
    run_service_pb2_grpc,
    storage_service_pb2_grpc,
)
from holdfast.v1 import access_service_pb2 as pb
from holdfast_server.app import App
from holdfast_server.config import ServerConfig

ROLES = {
    "none": access_pb2.ROLE_NONE,
    "read": access_pb2.ROLE_READ,
    "write": access_pb2.ROLE_WRITE,
    "manage": access_pb2.ROLE_MANAGE,
    "admin": access_pb2.ROLE_ADMIN,
}
STUBS = {
    "access": access_service_pb2_grpc.AccessServiceStub,
    "artifacts": artifact_service_pb2_grpc.ArtifactServiceStub,
    "audit": audit_service_pb2_grpc.AuditServiceStub,
    "experiments": experiment_service_pb2_grpc.ExperimentServiceStub,
    "live": live_artifact_service_pb2_grpc.LiveArtifactServiceStub,
    "models": model_service_pb2_grpc.ModelServiceStub,
    "registry": model_registry_service_pb2_grpc.ModelRegistryServiceStub,
    "runs": run_service_pb2_grpc.RunServiceStub,
    "storage": storage_service_pb2_grpc.StorageServiceStub,
}


class _Metadata:
    """A multicallable that adds metadata to each call."""

    def __init__(self, inner: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._inner, self._metadata = inner, metadata

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._inner(*args, metadata=(*self._metadata, *options.pop("metadata", ())), **options)


class _Stub:
    def __init__(self, inner: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._inner, self._metadata = inner, metadata

    def __getattr__(self, name: str) -> Any:
        return _Metadata(getattr(self._inner, name), self._metadata)


@dataclass
class Caller:
    """Stubs of all services that send a token; ``secret`` None: none is sent."""

    channel: grpc.aio.Channel
    secret: str | None = None
    token_id: str = ""
    stubs: dict[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.secret}"),) if self.secret is not None else ()

    def __getattr__(self, name: str) -> Any:
        if name not in STUBS:
            raise AttributeError(name)
        return self.stubs.setdefault(name, _Stub(STUBS[name](self.channel), self.metadata))


@dataclass
class AccessServer:
    """A running server with authentication, and its owner."""

    app: Any
    tcp: grpc.aio.Channel
    owner: Caller

    async def caller(self, name: str, role: str = "none", *, ceiling: str | None = None, **options: Any) -> Caller:
        """A token for a principal, which is added with a role when it is not there."""
        made = await self.owner.access.CreateToken(
            pb.CreateTokenRequest(
                principal=name,
                new_principal_role=ROLES[role],
                ceiling=ROLES[ceiling] if ceiling else access_pb2.ROLE_UNSPECIFIED,
                **options,
            )
        )
        return Caller(self.tcp, made.secret, made.token.token_id)

    async def grant(self, name: str, role: str | None, *, experiment: str = "", model: str = "") -> None:
        """Give a principal a role on an experiment or registered model; None takes it back."""
        resource = (
            access_pb2.AccessResource(experiment_id=experiment)
            if experiment
            else access_pb2.AccessResource(registered_model=model)
        )
        await self.owner.access.SetGrant(
            pb.SetGrantRequest(principal=name, resource=resource, role=ROLES[role] if role else None)
        )

    async def set_role(self, name: str, role: str) -> None:
        """Give a principal a role on the server."""
        await self.owner.access.SetPrincipal(pb.SetPrincipalRequest(name=name, role=ROLES[role]))


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[AccessServer]:
    """A server in this process that asks who calls, on a port and on a Unix socket, in a directory of its own."""
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    socket = folder / "s"
    config = ServerConfig(
        data_dir=folder / "data", addresses=("127.0.0.1:0", f"unix:{socket}"), auth="tokens", **settings
    )
    try:
        app = App(config)
        await app.start()
        try:
            async with (
                grpc.aio.insecure_channel(f"127.0.0.1:{app.ports[0]}") as tcp,
                grpc.aio.insecure_channel(f"unix:{socket}") as unix,
            ):
                yield AccessServer(app, tcp, Caller(unix))
        finally:
            await app.stop()
    finally:
        shutil.rmtree(folder)
