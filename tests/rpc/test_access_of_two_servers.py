"""What is taken away at one server counts at another one on the same data directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.rpc.access_api import AccessServer, Caller
from tests.rpc.access_requests import There
from tests.server_process import running_server

from holdfast.v1 import access_service_pb2 as pb
from holdfast.v1 import run_service_pb2 as run_pb


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def servers(data_dir: Path) -> AsyncIterator[list[AccessServer]]:
    """Two processes; only the first one has the socket of the owner, who is served by either."""
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(data_dir), "--auth", "tokens"]
    with running_server(*arguments) as first, running_server(*arguments) as second:
        assert any("in use by another server" in line for line in second.lines)
        async with AsyncExitStack() as stack:
            unix = await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{data_dir / 'holdfast.sock'}"))
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(server.address)) for server in (first, second)
            ]
            yield [AccessServer(None, channel, Caller(unix)) for channel in channels]


async def test_a_token_that_is_revoked_at_one_ends_the_streams_of_another(servers, refused):
    first, second = servers
    run_id = await There(first.owner).run()
    alice = await second.caller("alice", "read")
    watch = alice.runs.WatchRun(run_pb.WatchRunRequest(run_id=run_id))
    await watch.read()
    await first.owner.access.RevokeToken(pb.RevokeTokenRequest(token_id=alice.token_id))
    await refused(alice.runs.GetRun(run_pb.GetRunRequest(run_id=run_id)), "UNAUTHENTICATED", "TOKEN_REVOKED")
    await refused(watch.read(), "UNAUTHENTICATED", "TOKEN_REVOKED")


async def test_a_grant_that_is_changed_at_one_counts_at_another(servers, refused):
    first, second = servers
    there = There(first.owner)
    run_id = await there.run()
    alice = await second.caller("alice", "read")
    watch = alice.runs.WatchRun(run_pb.WatchRunRequest(run_id=run_id))
    await watch.read()
    await first.grant("alice", "none", experiment=there.names[0])
    await refused(alice.runs.GetRun(run_pb.GetRunRequest(run_id=run_id)), "NOT_FOUND", "RUN_NOT_FOUND")
    await refused(watch.read(), "PERMISSION_DENIED", "PERMISSION_DENIED")
