"""A logged model is its principal's own while nobody else writes to its files, since clients unpickle their own."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import pytest
from tests.rpc.access_api import AccessServer, Caller
from tests.rpc.test_worker_tokens import commit, inline, new_run, worker_of

from holdfast.v1 import artifact_pb2, model_pb2
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import experiment_service_pb2 as experiment_pb
from holdfast.v1 import live_artifact_service_pb2 as live_pb
from holdfast.v1 import model_registry_service_pb2 as registry_pb
from holdfast.v1 import model_service_pb2 as model_pb

READY = model_pb2.LOGGED_MODEL_STATUS_READY


async def shared_run(server: AccessServer, *writers: str) -> Any:
    """A run of an experiment that these may write, and remove from."""
    run = await new_run(server, writers[0])
    for writer in writers:
        await server.grant(writer, "manage", experiment=run.experiment_id)
    return run


async def begin(caller: Caller, run_id: str, **fields: Any) -> str:
    """A model that is PENDING."""
    made = await caller.models.CreateLoggedModel(model_pb.CreateLoggedModelRequest(source_run_id=run_id, **fields))
    return made.model.model_id


async def principal_of(caller: Caller, model_id: str) -> str:
    """Who logged a model, as it is told wherever somebody asks."""
    model = (await caller.models.GetLoggedModel(model_pb.GetLoggedModelRequest(model_id=model_id))).model
    resolved = await caller.artifacts.ResolveArtifact(pb.ResolveArtifactRequest(uri=f"models:/{model_id}"))
    assert resolved.principal == model.principal
    return model.principal


async def write_inline(caller: Caller, owner: artifact_pb2.TreeOwner) -> None:
    answer = await commit(caller, owner, inline("model.pkl", b"theirs"))
    assert answer.committed.sequence


async def write_blocks(caller: Caller, owner: artifact_pb2.TreeOwner) -> None:
    data = secrets.token_bytes(1_000)
    block = artifact_pb2.Block(digest=hashlib.sha256(data).digest(), data=data)
    assert [a async for a in caller.artifacts.WriteBlocks(iter([pb.WriteBlocksRequest(blocks=[block])]))]
    file = pb.NewEntry(
        path="model.pkl", kind=artifact_pb2.ENTRY_KIND_FILE, size=len(data), block_digests=[block.digest]
    )
    answer = await commit(caller, owner, file)
    assert answer.committed.sequence


async def write_many(caller: Caller, owner: artifact_pb2.TreeOwner) -> None:
    """More than one transaction stages."""
    answer = await commit(caller, owner, *(inline(f"{number}", b"x") for number in range(2_500)))
    assert answer.committed.sequence


async def write_live(caller: Caller, owner: artifact_pb2.TreeOwner) -> None:
    await close_live(caller, await append_live(caller, owner))


async def remove_files(caller: Caller, owner: artifact_pb2.TreeOwner) -> None:
    await caller.artifacts.DeleteFiles(pb.DeleteFilesRequest(owner=owner, paths=["own.txt"]))


async def append_live(
    caller: Caller, owner: artifact_pb2.TreeOwner, mode: live_pb.OpenMode = live_pb.OPEN_MODE_CREATE
) -> dict[str, str]:
    opened = await caller.live.OpenLiveArtifact(live_pb.OpenLiveArtifactRequest(owner=owner, path="log", mode=mode))
    names = {"live_id": opened.live_artifact.live_id, "writer": opened.writer}
    request = live_pb.AppendLiveArtifactRequest(
        data=b"line\n", digest=hashlib.sha256(b"line\n").digest(), offset=opened.live_artifact.size, **names
    )
    await caller.live.AppendLiveArtifact(request)
    return names


async def close_live(caller: Caller, names: dict[str, str], size: int = 5) -> None:
    await caller.live.CloseLiveArtifact(live_pb.CloseLiveArtifactRequest(size=size, **names))


@pytest.mark.parametrize("write", [write_inline, write_blocks, write_many, write_live, remove_files])
async def test_a_model_that_somebody_else_writes_to_is_nobody_s_own(server, write):
    ada, bob = await server.caller("ada"), await server.caller("bob")
    run = await shared_run(server, "ada", "bob")
    owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
    await commit(ada, owner, inline("own.txt", b"ada's"))
    assert await principal_of(ada, owner.model_id) == "ada"
    await write(bob, owner)
    assert await principal_of(ada, owner.model_id) == ""
    await commit(ada, owner, inline("own.txt", b"ada's again"))
    assert await principal_of(ada, owner.model_id) == "", "bob's files are still there"


@pytest.mark.parametrize("write", [write_inline, write_blocks, write_many, write_live])
async def test_a_model_that_only_its_principal_writes_to_stays_their_own(server, write):
    ada, bob = await server.caller("ada"), await server.caller("bob")
    run = await shared_run(server, "ada", "bob")
    owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
    await write(ada, owner)
    # What runs nothing when the model is loaded may come from others.
    await bob.models.UpdateLoggedModel(
        model_pb.UpdateLoggedModelRequest(model_id=owner.model_id, tags=[{"key": "seen", "value": "yes"}])
    )
    await bob.models.FinalizeLoggedModel(model_pb.FinalizeLoggedModelRequest(model_id=owner.model_id, status=READY))
    assert await principal_of(bob, owner.model_id) == "ada"


async def test_bytes_of_somebody_else_count_also_where_the_principal_closes_the_file(server):
    ada, bob = await server.caller("ada"), await server.caller("bob")
    run = await shared_run(server, "ada", "bob")
    owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
    await append_live(ada, owner)
    await append_live(bob, owner, live_pb.OPEN_MODE_APPEND)
    again = await append_live(ada, owner, live_pb.OPEN_MODE_APPEND)
    await close_live(ada, again, size=15)
    assert await principal_of(ada, owner.model_id) == ""


async def test_a_commit_that_is_refused_changes_nothing(server, refused):
    ada, bob, reader = await server.caller("ada"), await server.caller("bob"), await server.caller("eve", "read")
    run = await shared_run(server, "ada", "bob")
    owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
    await refused(commit(reader, owner, inline("x", b"x")), "PERMISSION_DENIED", "PERMISSION_DENIED")
    missing = pb.NewEntry(path="x", kind=artifact_pb2.ENTRY_KIND_FILE, size=3, block_digests=[bytes(32)])
    assert (await commit(bob, owner, missing)).missing.digests
    assert await principal_of(ada, owner.model_id) == "ada"
    await ada.models.FinalizeLoggedModel(model_pb.FinalizeLoggedModelRequest(model_id=owner.model_id, status=READY))
    await refused(commit(bob, owner, inline("x", b"x")), "FAILED_PRECONDITION", "MODEL_FINALIZED")
    assert await principal_of(ada, owner.model_id) == "ada"


async def test_a_version_of_a_model_that_several_wrote_is_nobody_s_own_either(server):
    ada, bob = await server.caller("ada", "write"), await server.caller("bob")
    run = await shared_run(server, "ada", "bob")
    for writer, expected in ((ada, "ada"), (bob, "")):
        owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
        await write_inline(writer, owner)
        await ada.models.FinalizeLoggedModel(model_pb.FinalizeLoggedModelRequest(model_id=owner.model_id, status=READY))
        made = await ada.registry.CreateModelVersion(
            registry_pb.CreateModelVersionRequest(
                name="m", source=f"models:/{owner.model_id}", create_registered_model=True
            )
        )
        assert made.model_version.principal == expected


async def test_what_a_worker_logs_or_fills_is_not_its_owner_s_own(server):
    ada = await server.caller("ada")
    run = await shared_run(server, "ada")
    worker = await worker_of(server, ada, run.run_id)
    filled = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
    await write_inline(worker, filled)
    assert await principal_of(ada, filled.model_id) == ""
    logged = artifact_pb2.TreeOwner(model_id=await begin(worker, run.run_id))
    await write_inline(worker, logged)
    assert await principal_of(ada, logged.model_id) == f"ada/{worker.token_id}"
    other = await worker_of(server, ada, run.run_id)
    await write_inline(other, logged)
    assert await principal_of(ada, logged.model_id) == ""


async def test_what_is_imported_is_nobody_s_own(server):
    ada = await server.caller("ada")
    run = await shared_run(server, "ada")
    owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id, origin_unknown=True))
    await write_inline(ada, owner)
    assert await principal_of(ada, owner.model_id) == ""
    # Also where it is already there and goes on; and to say the contrary later gives nothing back.
    begun = await begin(ada, run.run_id, model_id=f"m-{secrets.token_hex(16)}")
    for unknown, expected in ((False, "ada"), (True, ""), (False, "")):
        await begin(ada, run.run_id, model_id=begun, origin_unknown=unknown)
        assert await principal_of(ada, begun) == expected


async def test_an_import_takes_nothing_from_a_model_that_is_final(server):
    ada, bob = await server.caller("ada"), await server.caller("bob")
    run = await shared_run(server, "ada", "bob")
    model_id = await begin(ada, run.run_id)
    await ada.models.FinalizeLoggedModel(model_pb.FinalizeLoggedModelRequest(model_id=model_id, status=READY))
    await begin(bob, run.run_id, model_id=model_id, origin_unknown=True)
    assert await principal_of(ada, model_id) == "ada"


async def test_that_a_model_is_nobody_s_own_any_more_is_told_to_who_watches(server):
    ada, bob = await server.caller("ada"), await server.caller("bob")
    run = await shared_run(server, "ada", "bob")
    owner = artifact_pb2.TreeOwner(model_id=await begin(ada, run.run_id))
    watch = ada.experiments.WatchExperiment(experiment_pb.WatchExperimentRequest(experiment_id=run.experiment_id))
    await watch.read()  # the experiment as it is, from which the watch goes on
    await write_inline(bob, owner)
    while True:
        answer = await watch.read()
        changes = [(c.field, c.old_value, c.new_value) for c in answer.event.changes]
        if answer.event.model_id == owner.model_id and ("principal", "ada", "") in changes:
            assert answer.event.principal == "bob"
            break
    watch.cancel()
