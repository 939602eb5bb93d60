"""The audit log has every change: each RPC that makes one is made, and the record of it looked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from tests.rpc.access_api import AccessServer, Caller, serving
from tests.rpc.access_requests import DATA, DIGEST, REQUESTS, There, commit
from tests.rpc.test_policy import METHODS, call

from holdfast.v1 import (
    access_pb2,
    access_service_pb2,
    artifact_pb2,
    artifact_service_pb2,
    audit_pb2,
    audit_service_pb2,
    experiment_pb2,
    live_artifact_service_pb2,
    model_registry_service_pb2,
    run_pb2,
    run_service_pb2,
    storage_service_pb2,
)
from holdfast_server.rpc.audited import AUDITED
from holdfast_server.rpc.policy import POLICY

in_module = pytest.mark.asyncio(loop_scope="module")

# Calls that change nothing that anybody owns. What is said of them in docs/audit.md:
KEEP_ALIVE = {"ArtifactService/FindMissingBlocks", "RunService/RenewLeases"}
READ = {
    "GetCaller",
    "GetCapabilities",
    "GetTree",
    "ResolveArtifact",
    "ReadFile",
    "ReadFiles",
    "TailArtifact",
    "StreamRuns",
}
READING = ("Get", "List", "Search", "Watch")


def is_reading(path: str) -> bool:
    """Whether an RPC changes nothing."""
    service, name = path.removeprefix("/holdfast.v1.").split("/")[-2:]
    return f"{service}/{name}" in KEEP_ALIVE or name in READ or name.startswith(READING)


OURS = [path for path in POLICY if path.startswith("/holdfast.v1.")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[AccessServer]:
    async with serving() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(server: AccessServer) -> Caller:
    return await server.caller("ada", "admin")


async def records(server: AccessServer, **wanted: Any) -> list[audit_pb2.AuditRecord]:
    """The records that meet conditions, the oldest first."""
    request = audit_service_pb2.ListAuditRecordsRequest(page_size=1_000, **wanted)
    return list((await server.owner.audit.ListAuditRecords(request)).records)


def test_every_rpc_either_is_audited_or_changes_nothing():
    assert {path.lstrip("/") for path in OURS if not is_reading(path)} == set(AUDITED)


async def changing(path: str, there: There) -> Message | list[Message]:
    """A request of an RPC that changes something, also where the usual one does not."""
    request = await REQUESTS[path](there)
    if isinstance(request, storage_service_pb2.CollectGarbageRequest):
        request.dry_run = False
    if isinstance(request, storage_service_pb2.CheckStorageRequest):
        request.repair = True
    if isinstance(request, model_registry_service_pb2.DeleteAliasRequest):
        request.alias = "prod"
    return request


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.removeprefix("/holdfast.v1.")) for p in OURS if not is_reading(p)]
)
@in_module
async def test_a_change_is_written_down_with_who_made_it(server, admin, path):
    there = There(server.owner)
    request = await changing(path, there)
    method = path.lstrip("/")
    before = sum(record.count for record in await records(server, principal="ada", method=method))
    if METHODS[path].server_streaming:
        await all_of(admin, path, request)
    else:
        assert await call(admin, path, request) == "OK"
    after = await records(server, principal="ada", method=method)
    assert sum(record.count for record in after) == before + 1
    record = after[-1]
    assert (record.principal, record.token_id) == ("ada", admin.token_id)
    assert record.request_id
    assert isinstance(json.loads(record.details), dict)
    named = {name for resource in record.resources for name in resource.split("/")}
    if there.names and not method.endswith("/WriteBlocks"):
        assert named & set(there.names)


async def all_of(caller: Caller, path: str, request: Any) -> None:
    """Make a call and read all answers."""
    name = path.rpartition("/")[2]
    stub = caller.storage if "Storage" in path else caller.artifacts
    async for _ in getattr(stub, name)(iter(request) if isinstance(request, list) else request):
        pass


@pytest.mark.parametrize("path", [pytest.param(p, id=p.removeprefix("/holdfast.v1.")) for p in OURS if is_reading(p)])
@in_module
async def test_what_changes_nothing_writes_nothing(server, admin, path):
    request = await REQUESTS[path](There(server.owner))
    before = await records(server, principal="ada")
    assert await call(admin, path, request) == "OK"
    assert await records(server, principal="ada") == before


@in_module
async def test_what_is_refused_is_not_written_down(server):
    reader = await server.caller("rita", "read")
    run_id = await There(server.owner).run()
    assert await call(reader, "/holdfast.v1.RunService/DeleteRun", run_service_pb2.DeleteRunRequest(run_id=run_id)) == (
        "PERMISSION_DENIED"
    )
    admin = await server.caller("rita-too", "admin")
    gone = run_service_pb2.DeleteRunRequest(run_id="0" * 32)
    assert await call(admin, "/holdfast.v1.RunService/DeleteRun", gone) == "NOT_FOUND"
    assert await records(server, principal="rita") == await records(server, principal="rita-too") == []


@in_module
async def test_a_repeated_request_is_written_down_once(server):
    caller = await server.caller("twice", "admin")
    run_id = await There(server.owner).run()
    for _ in range(3):
        await caller.runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=run_id, request_id="once"))
    assert [record.count for record in await records(server, principal="twice")] == [1]


@in_module
async def test_metrics_of_a_run_are_counted_and_params_and_tags_told(server):
    caller = await server.caller("trainer", "write")
    run_id, other = await There(server.owner).run(), await There(server.owner).run()
    for step in range(5):
        for run in (run_id, other):
            metrics = [run_pb2.Metric(key="loss", value=1, step=step)]
            await caller.runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run, metrics=metrics))
    await caller.runs.LogBatch(
        run_service_pb2.LogBatchRequest(
            run_id=run_id,
            params=[run_pb2.Param(key="lr", value="private?")],
            tags=[experiment_pb2.Tag(key="team", value="private?")],
        )
    )
    first, second, third = await records(server, principal="trainer")
    assert (first.count, first.details, second.count) == (5, "{}", 5)
    assert first.last_time.ToNanoseconds() >= first.time.ToNanoseconds()
    assert first.resources[0] == f"run/{run_id}"
    assert first.resources[1].startswith("experiment/")
    assert json.loads(third.details) == {"params": ["lr"], "tags": ["team"]}


@in_module
async def test_uploads_and_appends_are_counted(server):
    caller = await server.caller("uploader", "write")
    there = There(server.owner)
    live_id, writer = await there.live()
    for position in range(3):
        append = live_artifact_service_pb2.AppendLiveArtifactRequest(
            live_id=live_id, writer=writer, offset=position * len(DATA), data=DATA, digest=DIGEST
        )
        await caller.live.AppendLiveArtifact(append)
        block = artifact_pb2.Block(digest=DIGEST, data=DATA)
        upload = caller.artifacts.WriteBlocks(iter([artifact_service_pb2.WriteBlocksRequest(blocks=[block])]))
        assert [answer async for answer in upload]
    header = artifact_service_pb2.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=there.names[1]))
    await caller.artifacts.CommitFiles(iter(commit(header)))
    found = {record.method.rpartition("/")[2]: record for record in await records(server, principal="uploader")}
    assert {name: record.count for name, record in found.items()} == {
        "AppendLiveArtifact": 3,
        "WriteBlocks": 3,
        "CommitFiles": 1,
    }
    assert list(found["CommitFiles"].resources) == [f"run/{there.names[1]}", f"experiment/{there.names[0]}"]
    assert all(writer not in str(record) for record in found.values())


@in_module
async def test_no_secret_is_written_down(server):
    made = await server.owner.access.CreateToken(
        access_service_pb2.CreateTokenRequest(
            principal="sam", new_principal_role=access_pb2.ROLE_READ, description="laptop"
        )
    )
    (record,) = await records(server, resource=f"token/{made.token.token_id}")
    assert made.secret not in str(record)
    assert (record.principal, record.token_id) == ("owner", "")
    assert json.loads(record.details) == {
        "principal": "sam",
        "new_principal_role": "ROLE_READ",
        "description": "laptop",
    }
    assert list(record.resources) == [f"token/{made.token.token_id}", "principal/sam"]


@in_module
async def test_a_workers_changes_are_those_of_its_token(server):
    ada = await server.caller("ada-with-workers", "write")
    run_id = await There(server.owner).run()
    made = await ada.access.CreateWorkerToken(
        access_service_pb2.CreateWorkerTokenRequest(run_id=run_id, path_prefix="shards", byte_budget=9)
    )
    worker = Caller(server.tcp, made.secret, made.token.token_id)
    metrics = [run_pb2.Metric(key="loss", value=1)]
    await worker.runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, metrics=metrics))
    minted, logged = (await records(server, resource=f"run/{run_id}"))[-2:]
    assert (minted.principal, minted.token_id) == ("ada-with-workers", ada.token_id)
    assert minted.resources[0] == f"token/{made.token.token_id}"
    assert json.loads(minted.details) == {"path_prefix": "shards", "byte_budget": 9}
    assert made.secret not in str(minted)
    assert (logged.method, logged.token_id) == ("holdfast.v1.RunService/LogBatch", made.token.token_id)
    assert logged.principal == f"ada-with-workers/{made.token.token_id}"
    assert await records(server, principal=logged.principal) == [logged]


@in_module
async def test_long_requests_are_cut(server):
    caller = await server.caller("chatty", "write")
    run_id = await There(server.owner).run()
    tags = [experiment_pb2.Tag(key=f"key-{i}", value="v") for i in range(90)]
    await caller.runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, tags=tags))
    await caller.runs.UpdateRun(run_service_pb2.UpdateRunRequest(run_id=run_id, run_name="n" * 240))
    logged, updated = await records(server, principal="chatty")
    told = json.loads(logged.details)["tags"]
    assert (told[0], len(told), told[-1]) == ("key-0", 21, "… and 70 more")
    assert len(updated.details) < 300


@in_module
async def test_purged_runs_are_named_with_who_collected_them(server):
    caller = await server.caller("janitor", "admin")
    run_id = await There(server.owner).run()
    await caller.runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=run_id))
    request = storage_service_pb2.CollectGarbageRequest(purge_deleted=Duration())
    async for _ in caller.storage.CollectGarbage(request):
        pass
    methods = [record.method.rpartition("/")[2] for record in await records(server, resource=f"run/{run_id}")]
    assert methods[-2:] == ["DeleteRun", "CollectGarbage"]


@in_module
async def test_records_are_found_by_resource_and_time_and_paged_both_ways(server, refused):
    there = There(server.owner)
    run_id = await there.run()
    found = await records(server, resource=f"run/{run_id}")
    assert [record.method.rpartition("/")[2] for record in found] == ["CreateRun", "CommitFiles"]
    everything = await records(server)
    assert [record.number for record in everything] == list(range(1, len(everything) + 1))
    assert found == [r for r in await records(server, since_time=found[0].time) if f"run/{run_id}" in r.resources]
    assert found[0] not in await records(server, until_time=found[0].time)
    token, backwards = "", []
    while True:
        request = audit_service_pb2.ListAuditRecordsRequest(newest_first=True, page_size=50, page_token=token)
        page = await server.owner.audit.ListAuditRecords(request)
        backwards += page.records
        token = page.next_page_token
        if not token:
            break
    assert backwards == everything[::-1]
    forged = audit_service_pb2.ListAuditRecordsRequest(page_token="forged")
    await refused(server.owner.audit.ListAuditRecords(forged), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_without_authentication_nothing_is_written_down(runs, channel):
    from holdfast.v1 import audit_service_pb2_grpc

    await runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id="0"))
    stub = audit_service_pb2_grpc.AuditServiceStub(channel)
    assert not (await stub.ListAuditRecords(audit_service_pb2.ListAuditRecordsRequest())).records
