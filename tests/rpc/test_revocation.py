"""What is taken away is gone at once, also for streams that are open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tests.rpc.access_api import Caller
from tests.rpc.access_requests import DATA, DIGEST, There

from holdfast.v1 import access_service_pb2 as pb
from holdfast.v1 import artifact_pb2, artifact_service_pb2, live_artifact_service_pb2, model_registry_service_pb2
from holdfast.v1 import experiment_service_pb2 as experiment_pb
from holdfast.v1 import run_service_pb2 as run_pb


async def open_streams(caller: Caller, there: There) -> dict[str, Any]:
    """A stream of each kind that goes on by itself, after its first answer."""
    run_id, name = await there.run(), await there.registered()
    live_id, _ = await there.live()
    streams = {
        "watch of a run": caller.runs.WatchRun(run_pb.WatchRunRequest(run_id=run_id)),
        "watch of a registered model": caller.registry.WatchRegisteredModel(
            model_registry_service_pb2.WatchRegisteredModelRequest(name=name)
        ),
        "tail": caller.live.TailArtifact(live_artifact_service_pb2.TailArtifactRequest(live_id=live_id, follow=True)),
        "upload": caller.artifacts.WriteBlocks(),
    }
    await streams["upload"].write(
        artifact_service_pb2.WriteBlocksRequest(blocks=[artifact_pb2.Block(digest=DIGEST, data=DATA)])
    )
    for stream in streams.values():
        assert await stream.read() is not grpc.aio.EOF
    return streams


async def until(holds: Callable[[], bool]) -> None:
    """Let the server in this process go on until something holds."""
    while not holds():  # noqa: ASYNC110 - of a server, which has no event for it
        await asyncio.sleep(0.01)


async def ends(stream: Any) -> tuple[str, str]:
    """How a stream ends: its code and its message."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async for _ in _messages(stream):
            pass
    return ended.value.code().name, ended.value.details() or ""


async def _messages(stream: Any) -> AsyncIterator[Any]:
    while (message := await stream.read()) is not grpc.aio.EOF:
        yield message


async def test_revoking_a_token_ends_its_streams_and_no_others(server):
    there = There(server.owner)
    alice, bob = await server.caller("alice", "write"), await server.caller("bob", "write")
    streams = await open_streams(alice, there)
    others = await open_streams(bob, there)
    await server.owner.access.RevokeToken(pb.RevokeTokenRequest(token_id=alice.token_id))
    for name, stream in streams.items():
        code, message = await ends(stream)
        assert (name, code) == (name, "UNAUTHENTICATED")
        assert "revoked" in message
    assert not any(stream.done() for stream in others.values())
    for stream in others.values():
        stream.cancel()


async def test_another_token_of_the_principal_is_not_revoked(server):
    there = There(server.owner)
    one, other = await server.caller("alice", "write"), await server.caller("alice", "write")
    (stream, *rest) = (await open_streams(other, there)).values()
    await server.owner.access.RevokeToken(pb.RevokeTokenRequest(token_id=one.token_id))
    assert (await other.access.GetCaller(pb.GetCallerRequest())).principal == "alice"
    assert not stream.done()
    for each in (stream, *rest):
        each.cancel()


async def test_removing_a_principal_ends_its_streams(server):
    alice = await server.caller("alice", "write")
    streams = await open_streams(alice, There(server.owner))
    await server.owner.access.DeletePrincipal(pb.DeletePrincipalRequest(name="alice"))
    assert {(await ends(stream))[0] for stream in streams.values()} == {"UNAUTHENTICATED"}


async def test_a_lower_role_ends_the_streams_that_need_more(server):
    alice = await server.caller("alice", "write")
    streams = await open_streams(alice, There(server.owner))
    await server.set_role("alice", "read")
    code, message = await ends(streams.pop("upload"))
    assert code == "PERMISSION_DENIED"
    assert "alice" in message
    assert not any(stream.done() for stream in streams.values())
    await server.set_role("alice", "none")
    assert {(await ends(stream))[0] for stream in streams.values()} == {"PERMISSION_DENIED"}


async def test_an_administrator_who_is_none_any_more_loses_its_streams(server):
    root = await server.caller("root", "admin")
    streams = await open_streams(root, There(server.owner))
    await server.set_role("root", "none")
    assert {(await ends(stream))[0] for stream in streams.values()} == {"PERMISSION_DENIED"}


async def test_a_grant_that_hides_ends_the_streams_of_that_resource_alone(server):
    there = There(server.owner)
    alice = await server.caller("alice", "read")
    one, other = await there.experiment(), await there.experiment()
    watches = [
        alice.experiments.WatchExperiment(experiment_pb.WatchExperimentRequest(experiment_id=id_))
        for id_ in (one, other)
    ]
    for watch in watches:
        await watch.read()
    await server.grant("alice", "none", experiment=one)
    assert (await ends(watches[0]))[0] == "PERMISSION_DENIED"
    assert not watches[1].done()
    watches[1].cancel()


async def test_a_commit_in_progress_does_not_become_visible(server):
    there = There(server.owner)
    run_id = await there.run()
    alice = await server.caller("alice", "write")
    part = artifact_service_pb2.CommitFilesRequest
    owner = artifact_pb2.TreeOwner(run_id=run_id)
    commit = alice.artifacts.CommitFiles()
    await commit.write(part(header=artifact_service_pb2.CommitHeader(owner=owner)))
    entry = artifact_service_pb2.NewEntry(path="late", kind="ENTRY_KIND_FILE", size=len(DATA), inline_data=DATA)
    await commit.write(part(entries=artifact_service_pb2.CommitEntries(entries=[entry])))
    await until(lambda: any(call.held for call in server.app._guard.open_calls._calls))
    await server.owner.access.RevokeToken(pb.RevokeTokenRequest(token_id=alice.token_id))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await commit
    assert refused.value.code().name == "UNAUTHENTICATED"
    listed = await server.owner.artifacts.ListFiles(artifact_service_pb2.ListFilesRequest(owner=owner, recursive=True))
    assert "late" not in [entry.path for entry in listed.entries]


async def test_a_commit_is_judged_by_the_role_that_counts_when_it_says_where_it_goes(server):
    run_id = await There(server.owner).run()
    alice = await server.caller("alice", "write")
    commit = alice.artifacts.CommitFiles()
    await until(lambda: bool(server.app._guard.open_calls._calls))
    await server.set_role("alice", "read")
    header = artifact_service_pb2.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=run_id))
    await commit.write(artifact_service_pb2.CommitFilesRequest(header=header))
    await commit.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await commit
    assert refused.value.code().name == "PERMISSION_DENIED"


async def test_a_token_that_expires_ends_its_streams(server):
    clock = server.app.database._clock

    class Later:
        def now_ms(self) -> int:
            return clock.now_ms() + 3_600_000

    from google.protobuf.timestamp_pb2 import Timestamp

    expiry = Timestamp(seconds=clock.now_ms() // 1000 + 1_800)
    alice = await server.caller("alice", "write", expire_time=expiry)
    streams = await open_streams(alice, There(server.owner))
    server.app.database._clock = Later()
    found = {await ends(stream) for stream in streams.values()}
    assert {code for code, _ in found} == {"UNAUTHENTICATED"}
    assert all("expired" in message for _, message in found)


async def test_nothing_is_left_of_streams_that_ended(server):
    alice = await server.caller("alice", "write")
    for stream in (await open_streams(alice, There(server.owner))).values():
        stream.cancel()
    await until(lambda: not server.app._guard.open_calls._calls)


async def test_many_calls_while_roles_change_are_each_answered_by_one_of_them(server):
    there = There(server.owner)
    run_id = await there.run()
    alice = await server.caller("alice", "read")

    async def call() -> str:
        try:
            await alice.runs.GetRun(run_pb.GetRunRequest(run_id=run_id))
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async def change() -> None:
        for role in ("none", "read") * 5:
            await server.set_role("alice", role)

    *codes, _ = await asyncio.gather(*(call() for _ in range(100)), change())
    assert set(codes) <= {"OK", "NOT_FOUND"}
    assert await call() == "OK"
