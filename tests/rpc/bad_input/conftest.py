"""One server for each backend, which all bad requests go to: each finds it as the one before did.

Tables go to a server that lets in anyone and to one with TLS and tokens, where an administrator must be answered alike;
those that touch blocks go to MinIO too. What is no call, as bytes on a connection, goes to the first alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.minio_server import MinioServer
from tests.rpc.bad_input.world import WAIT, World
from tests.server_process import running_server
from tests.tls_files import TlsDirectory

from holdfast.v1 import access_pb2
from holdfast.v1 import access_service_pb2 as access
from holdfast.v1.access_service_pb2_grpc import AccessServiceStub
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.storage.blocks.local import LocalObjectStore
from holdfast_server.storage.blocks.s3 import open_s3_store


@contextlib.contextmanager
def world_on(data_dir: Path, objects: ObjectStore, *arguments: str, **environment: str) -> Iterator[World]:
    """A server with something of everything."""
    # A probe of the store leaves an object for a moment, which would be a change.
    listen = ("--port", "0", "--data-dir", str(data_dir), "--probe-interval", "86400", *arguments)
    with running_server(*listen, environment=environment) as server, grpc.insecure_channel(server.address) as channel:
        world = World(server, data_dir, channel, objects)
        with contextlib.closing(world.rows):
            world.build()
            yield world


@pytest.fixture(scope="session")
def local_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("bad-input") / "data"
    with world_on(data_dir, LocalObjectStore(data_dir / "store")) as world:
        yield world


@pytest.fixture(scope="session")
def guarded_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One that asks who calls; its channel is the owner's, its address the port for everybody else."""
    data_dir = tmp_path_factory.mktemp("bad-input-guarded") / "data"
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    ports = ("--host", "127.0.0.1", "--port", "0", "--unix", str(folder / "s"))
    # Neither probes of the store nor seals come in between, which would be changes.
    listen = (*ports, "--data-dir", str(data_dir), "--probe-interval", "86400", "--audit-interval", "86400")
    try:
        with (
            running_server(*listen, "--auth", "tokens") as server,
            grpc.insecure_channel(f"unix:{folder / 's'}") as channel,
        ):
            # Of the two that the line names the port, where everybody else comes.
            port = re.search(r"holdfast://(127\.0\.0\.1:\d+)", "\n".join(server.lines))
            assert port, server.lines
            reached = dataclasses.replace(server, address=port[1])
            world = World(reached, data_dir, channel, LocalObjectStore(data_dir / "store"))
            with contextlib.closing(world.rows):
                world.build()
                yield world
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tls_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One that speaks TLS and asks who calls; its channel is that of an administrator with a token."""
    data_dir = tmp_path_factory.mktemp("bad-input-tls") / "data"
    tls = TlsDirectory(data_dir.with_name("tls"))
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    ports = ("--host", "127.0.0.1", "--port", "0", "--unix", str(folder / "s"))
    listen = (*ports, "--data-dir", str(data_dir), "--probe-interval", "86400", "--audit-interval", "86400")
    try:
        with running_server(*listen, "--auth", "tokens", *tls.flags) as server:
            with grpc.insecure_channel(f"unix:{folder / 's'}") as owner:
                secret = _administrator(owner)
            port = re.search(r"holdfast\+tls://(127\.0\.0\.1:\d+)", "\n".join(server.lines))
            assert port, server.lines
            credentials = grpc.composite_channel_credentials(
                grpc.ssl_channel_credentials(tls.ca.read_bytes()), grpc.access_token_call_credentials(secret)
            )
            with grpc.secure_channel(port[1], credentials) as channel:
                reached = dataclasses.replace(server, address=port[1])
                world = World(reached, data_dir, channel, LocalObjectStore(data_dir / "store"))
                world.secrets["administrator"] = ("", secret)
                with contextlib.closing(world.rows):
                    world.build()
                    yield world
    finally:
        shutil.rmtree(folder)


def _administrator(owner: grpc.Channel) -> str:
    """The secret of a token of somebody who may do all."""
    stub, name = AccessServiceStub(owner), "root@example"
    stub.SetPrincipal(access.SetPrincipalRequest(name=name, role=access_pb2.ROLE_ADMIN), timeout=WAIT)
    made = stub.CreateToken(access.CreateTokenRequest(principal=name), timeout=WAIT)
    return str(made.secret)


@pytest.fixture(scope="session")
def minio_world(tmp_path_factory: pytest.TempPathFactory, minio: MinioServer) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("bad-input-minio") / "data"
    url = minio.store_url("bad-input")
    credentials = data_dir.with_name("credentials")
    credentials.write_text("[default]\n" + "".join(f"{k.lower()} = {v}\n" for k, v in minio.environment.items()))
    objects = open_s3_store(url, credentials)
    with contextlib.closing(objects), world_on(data_dir, objects, "--store", url, **minio.environment) as world:
        yield world


@pytest.fixture(params=["local", "tls"])
def any_world(request: pytest.FixtureRequest) -> World:
    """For what answers alike whether callers are asked who they are or not."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture(params=["local", "tls", pytest.param("minio", marks=pytest.mark.minio)])
def world(request: pytest.FixtureRequest) -> World:
    """For what touches blocks, on each store."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found
