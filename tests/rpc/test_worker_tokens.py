"""A worker's token writes to one run, within its prefix and budget, reads nothing, and dies with what it hangs on."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.rpc.access_api import AccessServer, Caller

from holdfast.v1 import access_service_pb2 as access_pb
from holdfast.v1 import artifact_pb2, experiment_service_pb2, model_pb2, run_pb2
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import live_artifact_service_pb2 as live_pb
from holdfast.v1 import model_service_pb2 as model_pb
from holdfast.v1 import run_service_pb2 as run_pb
from holdfast_server.domain.access import Secret
from holdfast_server.services.access import authenticate
from holdfast_server.services.run_leases import LeaseTerms, give_back_outage


async def new_run(server: AccessServer, writer: str) -> run_pb2.Run:
    made = await server.owner.experiments.CreateExperiment(
        experiment_service_pb2.CreateExperimentRequest(name=secrets.token_hex(8))
    )
    await server.grant(writer, "write", experiment=made.experiment.experiment_id)
    request = run_pb.CreateRunRequest(experiment_id=made.experiment.experiment_id)
    return (await server.owner.runs.CreateRun(request)).run


async def worker_of(server: AccessServer, parent: Caller, run_id: str, **options: Any) -> Caller:
    made = await parent.access.CreateWorkerToken(access_pb.CreateWorkerTokenRequest(run_id=run_id, **options))
    assert made.token.worker.run_id == run_id
    return Caller(server.tcp, made.secret, made.token.token_id)


def inline(path: str, data: bytes, **fields: Any) -> pb.NewEntry:
    return pb.NewEntry(path=path, kind=artifact_pb2.ENTRY_KIND_FILE, size=len(data), inline_data=data, **fields)


async def commit(caller: Caller, owner: artifact_pb2.TreeOwner, *entries: pb.NewEntry) -> pb.CommitFilesResponse:
    messages = [
        pb.CommitFilesRequest(header=pb.CommitHeader(owner=owner, return_tree_digest=True)),
        pb.CommitFilesRequest(entries=pb.CommitEntries(entries=entries)),
        pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=len(entries))),
    ]
    return await caller.artifacts.CommitFiles(iter(messages))


async def read_to_end(stream: Any) -> None:
    """gRPC tells how a stream ended once all before that was read."""
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_a_worker_logs_to_its_run_and_is_told_nothing_of_what_others_logged(server, refused):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    param = run_pb2.Param(key="secret", value="of alice")
    await alice.runs.LogBatch(run_pb.LogBatchRequest(run_id=run.run_id, params=[param]))
    worker = await worker_of(server, alice, run.run_id)
    metric = run_pb2.Metric(key="loss", value=1.0)
    await worker.runs.LogBatch(run_pb.LogBatchRequest(run_id=run.run_id, metrics=[metric]))
    updated = await worker.runs.UpdateRun(run_pb.UpdateRunRequest(run_id=run.run_id, run_name="mine"))
    assert (updated.run.run_id, updated.run.run_name, updated.run.user_id) == (run.run_id, "", "")
    other = run_pb2.Param(key="secret", value="a guess")
    call = worker.runs.LogBatch(run_pb.LogBatchRequest(run_id=run.run_id, params=[other]))
    error = await refused(call, "INVALID_ARGUMENT", "PARAM_IMMUTABLE")
    assert "of alice" not in str(error)
    for call in (
        worker.runs.GetRun(run_pb.GetRunRequest(run_id=run.run_id)),
        worker.runs.DeleteRun(run_pb.DeleteRunRequest(run_id=run.run_id)),
        worker.access.CreateWorkerToken(access_pb.CreateWorkerTokenRequest(run_id=run.run_id)),
        worker.runs.LogBatch(run_pb.LogBatchRequest(run_id=run.run_id, deleted_tag_keys=["x"])),
    ):
        await refused(call, "PERMISSION_DENIED", "WORKER_TOKEN")
    # Blocks that its owner may know of are missing for the worker.
    await commit(alice, artifact_pb2.TreeOwner(run_id=run.run_id), inline("x", b"of alice"))
    digest = hashlib.sha256(b"of alice").digest()
    found = await worker.artifacts.FindMissingBlocks(pb.FindMissingBlocksRequest(digests=[digest]))
    assert list(found.missing_digests) == [digest]


@pytest.mark.parametrize("ceiling", ["admin", "write"])
async def test_the_worker_of_an_administrator_is_told_nothing_either(ceiling, server):
    await server.caller("alice")
    ada = await server.caller("ada", "admin", ceiling=ceiling)
    run, hidden = await new_run(server, "alice"), await new_run(server, "alice")
    await commit(ada, artifact_pb2.TreeOwner(run_id=hidden.run_id), inline("x", b"of ada"))
    worker = await worker_of(server, ada, run.run_id, byte_budget=1)
    digest = hashlib.sha256(b"of ada").digest()
    found = await worker.artifacts.FindMissingBlocks(pb.FindMissingBlocksRequest(digests=[digest]))
    assert list(found.missing_digests) == [digest]
    taken = pb.NewEntry(path="x", kind=artifact_pb2.ENTRY_KIND_FILE, size=6, block_digests=[digest])
    answer = await commit(worker, artifact_pb2.TreeOwner(run_id=run.run_id), taken)
    assert list(answer.missing.digests) == [digest]


async def test_a_worker_creates_and_fills_models_of_its_run_only(server, refused):
    alice = await server.caller("alice")
    run, other = await new_run(server, "alice"), await new_run(server, "alice")
    worker = await worker_of(server, alice, run.run_id)
    made = await worker.models.CreateLoggedModel(model_pb.CreateLoggedModelRequest(source_run_id=run.run_id))
    owner = artifact_pb2.TreeOwner(model_id=made.model.model_id)
    answer = await commit(worker, owner, inline("MLmodel", b"{}"))
    assert answer.committed.sequence == 1
    assert not answer.committed.digest
    ready = model_pb.FinalizeLoggedModelRequest(
        model_id=made.model.model_id, status=model_pb2.LOGGED_MODEL_STATUS_READY
    )
    await worker.models.FinalizeLoggedModel(ready)
    output = run_pb2.ModelOutput(model_id=made.model.model_id)
    await worker.runs.LogOutputs(run_pb.LogOutputsRequest(run_id=run.run_id, models=[output]))
    theirs = await alice.models.CreateLoggedModel(model_pb.CreateLoggedModelRequest(source_run_id=other.run_id))
    for call in (
        worker.models.CreateLoggedModel(model_pb.CreateLoggedModelRequest(source_run_id=other.run_id)),
        commit(worker, artifact_pb2.TreeOwner(model_id=theirs.model.model_id), inline("x", b"y")),
        worker.models.FinalizeLoggedModel(model_pb.FinalizeLoggedModelRequest(model_id=theirs.model.model_id)),
    ):
        await refused(call, "PERMISSION_DENIED", "WORKER_TOKEN")


async def test_a_worker_writes_below_its_prefix_only(server, refused):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    owner = artifact_pb2.TreeOwner(run_id=run.run_id)
    worker = await worker_of(server, alice, run.run_id, path_prefix="shards/7")
    above = pb.NewEntry(path="shards", kind=artifact_pb2.ENTRY_KIND_DIRECTORY)
    assert (await commit(worker, owner, above, inline("shards/7/x", b"x"))).committed.sequence == 1
    for entry in (
        inline("shards/8/x", b"x"),
        inline("shards/77", b"x"),
        inline("shards/7/y", b"x", expected_absent=True),
    ):
        await refused(commit(worker, owner, entry), "PERMISSION_DENIED", "WORKER_TOKEN")
    create = {"owner": owner, "mode": live_pb.OPEN_MODE_CREATE}
    call = worker.live.OpenLiveArtifact(live_pb.OpenLiveArtifactRequest(path="log", **create))
    await refused(call, "PERMISSION_DENIED", "WORKER_TOKEN")
    opened = await worker.live.OpenLiveArtifact(live_pb.OpenLiveArtifactRequest(path="shards/7/log", **create))
    names = {"live_id": opened.live_artifact.live_id, "writer": opened.writer}
    digest = hashlib.sha256(b"line\n").digest()
    await worker.live.AppendLiveArtifact(live_pb.AppendLiveArtifactRequest(data=b"line\n", digest=digest, **names))
    await worker.live.CloseLiveArtifact(live_pb.CloseLiveArtifactRequest(size=5, **names))
    listed = await alice.artifacts.ListFiles(pb.ListFilesRequest(owner=owner, recursive=True))
    assert [e.path for e in listed.entries] == ["shards", "shards/7", "shards/7/log", "shards/7/x"]


async def test_concurrent_streams_of_a_worker_share_its_byte_budget(server):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    worker = await worker_of(server, alice, run.run_id, byte_budget=10_000)

    async def send(number: int) -> tuple[int, str]:
        data = bytes([number]) * 3_000
        block = artifact_pb2.Block(digest=hashlib.sha256(data).digest(), data=data)
        try:
            answers = [a async for a in worker.artifacts.WriteBlocks(iter([pb.WriteBlocksRequest(blocks=[block])]))]
        except Exception as error:
            return 0, error.code().name  # type: ignore[attr-defined]
        return sum(len(answer.results) for answer in answers), ""

    sent = await asyncio.gather(*map(send, range(6)))
    assert sorted(sent) == [(0, "RESOURCE_EXHAUSTED")] * 3 + [(1, "")] * 3
    listed = await server.owner.access.ListTokens(access_pb.ListTokensRequest(principal="alice"))
    assert listed.tokens[-1].worker.bytes_used == 9_000


async def test_a_spent_budget_says_so_and_metrics_go_on(server, refused):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    worker = await worker_of(server, alice, run.run_id, byte_budget=4)
    owner = artifact_pb2.TreeOwner(run_id=run.run_id)
    await refused(commit(worker, owner, inline("x", b"12345")), "RESOURCE_EXHAUSTED", "WORKER_BUDGET_EXHAUSTED")
    metric = run_pb2.Metric(key="loss", value=1.0)
    await worker.runs.LogBatch(run_pb.LogBatchRequest(run_id=run.run_id, metrics=[metric]))
    await commit(worker, owner, inline("x", b"1234"))


async def test_renewing_the_lease_moves_the_expiry_until_the_run_ends(server, refused):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    worker = await worker_of(server, alice, run.run_id, lifetime=Duration(seconds=600))

    async def expiry() -> int:
        answer = await worker.access.GetCaller(access_pb.GetCallerRequest())
        return answer.token.expire_time.ToMilliseconds()

    first = await expiry()
    other = await new_run(server, "alice")
    held = await worker.runs.RenewLeases(run_pb.RenewLeasesRequest(run_ids=[other.run_id]))
    assert not held.held_run_ids
    assert await expiry() == first
    held = await worker.runs.RenewLeases(run_pb.RenewLeasesRequest(run_ids=[run.run_id, other.run_id]))
    assert list(held.held_run_ids) == [run.run_id]
    assert await expiry() > first
    await worker.runs.UpdateRun(run_pb.UpdateRunRequest(run_id=run.run_id, status=run_pb2.RUN_STATUS_FINISHED))
    ended = await expiry()
    assert ended < first
    await worker.runs.UpdateRun(run_pb.UpdateRunRequest(run_id=run.run_id, status=run_pb2.RUN_STATUS_RUNNING))
    await worker.runs.RenewLeases(run_pb.RenewLeasesRequest(run_ids=[run.run_id]))
    assert await expiry() == ended


async def test_an_outage_of_the_server_does_not_count_against_a_worker(server):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    worker = await worker_of(server, alice, run.run_id, lifetime=Duration(seconds=600))
    secret = Secret.parse(worker.secret or "")

    def later(tx: Any) -> int:
        """The same as after an hour without a server."""
        before = authenticate(tx, secret).expire_time
        tx._connection.execute("UPDATE lease_beat SET time = time - 3600000")
        tx._connection.execute("UPDATE worker_tokens SET renew_time = renew_time - 3700000")
        give_back_outage(tx, LeaseTerms(60_000))
        return int((authenticate(tx, secret).expire_time or 0) - (before or 0))

    assert await server.app.database.write(later) >= 3_600_000


@pytest.mark.parametrize("how", ["its own", "its parent's", "role", "principal"])
async def test_a_worker_ends_with_what_it_hangs_on_also_in_a_stream(how, server, refused):
    alice = await server.caller("alice")
    run = await new_run(server, "alice")
    worker = await worker_of(server, alice, run.run_id)
    going = asyncio.Event()

    async def requests() -> AsyncIterator[pb.WriteBlocksRequest]:
        block = artifact_pb2.Block(digest=hashlib.sha256(b"x").digest(), data=b"x")
        yield pb.WriteBlocksRequest(blocks=[block])
        await going.wait()

    stream = worker.artifacts.WriteBlocks(requests())
    await stream.read()
    owner = server.owner.access
    if how == "its own":
        await owner.RevokeToken(access_pb.RevokeTokenRequest(token_id=worker.token_id))
    elif how == "its parent's":
        await owner.RevokeToken(access_pb.RevokeTokenRequest(token_id=alice.token_id))
    elif how == "role":
        await server.grant("alice", "read", experiment=run.experiment_id)
    else:
        await owner.DeletePrincipal(access_pb.DeletePrincipalRequest(name="alice"))
    code, reason = {
        "role": ("PERMISSION_DENIED", "PERMISSION_DENIED"),
        "principal": ("UNAUTHENTICATED", "TOKEN_UNKNOWN"),
    }.get(how, ("UNAUTHENTICATED", "TOKEN_REVOKED"))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await read_to_end(stream)
    assert ended.value.code().name == code
    going.set()
    metric = run_pb2.Metric(key="loss", value=1.0)
    call = worker.runs.LogBatch(run_pb.LogBatchRequest(run_id=run.run_id, metrics=[metric]))
    await refused(call, code, reason)


async def test_who_may_not_write_the_run_makes_no_worker_for_it(server, refused):
    await server.caller("alice")
    run = await new_run(server, "alice")
    reader, stranger = await server.caller("reader", "read"), await server.caller("stranger")
    request = access_pb.CreateWorkerTokenRequest(run_id=run.run_id)
    await refused(reader.access.CreateWorkerToken(request), "PERMISSION_DENIED", "PERMISSION_DENIED")
    await refused(stranger.access.CreateWorkerToken(request), "NOT_FOUND", "RUN_NOT_FOUND")
    await refused(server.owner.access.CreateWorkerToken(request), "UNAUTHENTICATED", "TOKEN_MISSING")
