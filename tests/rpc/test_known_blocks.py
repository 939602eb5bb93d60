"""Whether a block is there is told to nobody but who sent it and who may read something that has it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import grpc
from tests.rpc.access_api import AccessServer, Caller

from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import access_service_pb2, artifact_pb2, experiment_service_pb2, live_artifact_service_pb2
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import model_registry_service_pb2 as registry_pb
from holdfast.v1 import model_service_pb2 as model_pb
from holdfast.v1 import run_service_pb2 as run_pb
from holdfast.v1 import storage_service_pb2 as storage_pb

MIB = 1 << 20


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def new_run(server: AccessServer, writer: str) -> str:
    """A run in an experiment of its own, which one principal may write."""
    made = await server.owner.experiments.CreateExperiment(
        experiment_service_pb2.CreateExperimentRequest(name=secrets.token_hex(8))
    )
    experiment_id = made.experiment.experiment_id
    await server.grant(writer, "write", experiment=experiment_id)
    run = await server.owner.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=experiment_id))
    return run.run.run_id


async def experiment_of(server: AccessServer, run_id: str) -> str:
    return (await server.owner.runs.GetRun(run_pb.GetRunRequest(run_id=run_id))).run.experiment_id


async def missing(caller: Caller, *digests: bytes) -> list[bytes]:
    found = await caller.artifacts.FindMissingBlocks(pb.FindMissingBlocksRequest(digests=digests))
    return list(found.missing_digests)


async def write(caller: Caller, *contents: bytes) -> list[bytes]:
    """Send blocks; returns the answers, serialized, without the news of how much was taken."""
    small = [artifact_pb2.Block(digest=sha(data), data=data) for data in contents if len(data) < MIB]
    requests = [pb.WriteBlocksRequest(blocks=small)] if small else []
    for data in (x for x in contents if len(x) >= MIB):
        for start in range(0, len(data), MIB):
            begin = {"digest": sha(data), "size": len(data)} if start == 0 else {}
            requests.append(
                pb.WriteBlocksRequest(chunk=artifact_pb2.BlockChunk(data=data[start : start + MIB], **begin))
            )
    return [
        result.SerializeToString(deterministic=True)
        async for answer in caller.artifacts.WriteBlocks(iter(requests))
        for result in answer.results
    ]


def file_of(path: str, *blocks: bytes, size: int) -> pb.NewEntry:
    return pb.NewEntry(path=path, kind=artifact_pb2.ENTRY_KIND_FILE, size=size, block_digests=blocks)


async def commit(caller: Caller, run_id: str, *entries: pb.NewEntry) -> pb.CommitFilesResponse:
    header = pb.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=run_id))
    return await caller.artifacts.CommitFiles(iter(parts(header, *entries)))


def parts(header: pb.CommitHeader, *entries: pb.NewEntry) -> list[pb.CommitFilesRequest]:
    return [
        pb.CommitFilesRequest(header=header),
        pb.CommitFilesRequest(entries=pb.CommitEntries(entries=entries)),
        pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=len(entries))),
    ]


async def told(call: Any) -> tuple[str, ...]:
    """All that a refusal says, or the digests of what is missing."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        said = [(k, v) for k, v in error.trailing_metadata() or () if k != "x-holdfast-request-id"]
        return error.code().name, error.details() or "", *map(repr, said)
    return "OK", *(digest.hex() for digest in answer.missing.digests)


async def test_a_stranger_gets_the_same_answers_for_blocks_of_others_as_for_such_that_are_not_there(server):
    alice, mallory = await server.caller("alice"), await server.caller("mallory")
    hers, his = await new_run(server, "alice"), await new_run(server, "mallory")
    secret, random = b"the secret of alice".ljust(64), secrets.token_bytes(64)
    # Of two blocks, of which the first is full: the file has a row of its own.
    first, last = bytes(BLOCK_SIZE), b"end"
    await write(alice, secret)
    await write(alice, first)
    await write(alice, last)
    large = file_of("large", sha(first), sha(last), size=BLOCK_SIZE + 3)
    await commit(alice, hers, file_of("secret", sha(secret), size=64), large)

    assert await missing(alice, sha(secret), sha(random)) == [sha(random)]
    assert await missing(mallory, sha(random), sha(secret), sha(random)) == [sha(random), sha(secret)]
    for size in (64, 63, 65, 0, BLOCK_SIZE + 1):
        # Neither the block nor its size is told, nor that there is such a file.
        there, absent = [
            await told(commit(mallory, his, file_of("x", digest, size=size))) for digest in (sha(secret), sha(random))
        ]
        assert there == tuple(text.replace(sha(random).hex(), sha(secret).hex()) for text in absent)
    for digest in (sha(secret), sha(random)):
        answer = await commit(mallory, his, file_of("x", digest, size=64))
        assert list(answer.missing.digests) == [digest]
    whole = await commit(mallory, his, file_of("large", sha(first), sha(last), size=BLOCK_SIZE + 3))
    assert list(whole.missing.digests) == [sha(first), sha(last)]
    # What one has of it does not show whether the rest is there.
    await write(mallory, last)
    part = await commit(mallory, his, file_of("large", sha(first), sha(last), size=BLOCK_SIZE + 3))
    assert list(part.missing.digests) == [sha(first)]
    # Nothing of the attempts is there.
    listed = await mallory.artifacts.ListFiles(
        pb.ListFilesRequest(owner=artifact_pb2.TreeOwner(run_id=his), recursive=True)
    )
    assert not listed.entries


async def test_blocks_of_others_are_answered_like_new_ones_when_they_are_sent_and_stored_once(server):
    alice, mallory = await server.caller("alice"), await server.caller("mallory")
    await new_run(server, "alice")
    his = await new_run(server, "mallory")
    secret, random = secrets.token_bytes(64), secrets.token_bytes(64)
    await write(alice, secret)
    wrong = pb.WriteBlocksRequest(blocks=[artifact_pb2.Block(digest=sha(secret), data=b"a guess")])
    (bad,) = [r async for a in mallory.artifacts.WriteBlocks(iter([wrong])) for r in a.results]
    assert bad.status == pb.BLOCK_STATUS_DIGEST_MISMATCH
    assert await missing(mallory, sha(secret)) == [sha(secret)]
    (old,), (new,) = await write(mallory, secret), await write(mallory, random)
    assert old.replace(sha(secret), b"") == new.replace(sha(random), b"")
    assert await missing(mallory, sha(secret), sha(random)) == []
    assert (await commit(mallory, his, file_of("x", sha(secret), size=64))).HasField("committed")
    usage = await server.owner.storage.GetStorageUsage(storage_pb.GetStorageUsageRequest())
    assert usage.block_count == 2


async def test_inline_data_that_others_have_is_committed_like_any_other(server):
    alice, mallory = await server.caller("alice"), await server.caller("mallory")
    hers, his = await new_run(server, "alice"), await new_run(server, "mallory")
    for caller, run_id in ((alice, hers), (mallory, his)):
        entry = pb.NewEntry(path="x", kind=artifact_pb2.ENTRY_KIND_FILE, size=7, inline_data=b"content")
        assert (await commit(caller, run_id, entry)).HasField("committed")
        assert await missing(caller, sha(b"content")) == []
    usage = await server.owner.storage.GetStorageUsage(storage_pb.GetStorageUsageRequest())
    assert usage.block_count == 1


async def test_readers_of_what_has_a_block_need_not_send_it_until_they_lose_their_role(server):
    alice, bob = await server.caller("alice"), await server.caller("bob")
    hers, his = await new_run(server, "alice"), await new_run(server, "bob")
    data = secrets.token_bytes(64)
    await write(alice, data)
    await commit(alice, hers, file_of("x", sha(data), size=64))
    experiment_id = await experiment_of(server, hers)
    assert await missing(bob, sha(data)) == [sha(data)]
    await server.grant("bob", "read", experiment=experiment_id)
    assert await missing(bob, sha(data)) == []
    await server.grant("bob", "none", experiment=experiment_id)
    assert await missing(bob, sha(data)) == [sha(data)]
    await server.set_role("bob", "read")
    assert await missing(bob, sha(data)) == [sha(data)]  # the grant hides it still
    await server.grant("bob", None, experiment=experiment_id)
    assert (await commit(bob, his, file_of("x", sha(data), size=64))).HasField("committed")


async def test_a_version_shows_the_blocks_at_its_path_and_no_others(server):
    alice, bob = await server.caller("alice"), await server.caller("bob")
    hers = await new_run(server, "alice")
    await new_run(server, "bob")
    old, new, beside, later = (secrets.token_bytes(64) for _ in range(4))
    await write(alice, old, new, beside, later)
    for path, data in (("m/x", old), ("m/x", new), ("m2", beside)):
        await commit(alice, hers, file_of(path, sha(data), size=64))
    name = secrets.token_hex(8)
    await server.owner.registry.CreateRegisteredModel(registry_pb.CreateRegisteredModelRequest(name=name))
    await server.owner.registry.CreateModelVersion(
        registry_pb.CreateModelVersionRequest(name=name, source=f"runs:/{hers}/m")
    )
    await commit(alice, hers, file_of("m/x", sha(later), size=64))
    assert len(await missing(bob, sha(new))) == 1
    await server.grant("bob", "read", model=name)
    assert await missing(bob, *map(sha, (old, new, beside, later))) == [sha(old), sha(beside), sha(later)]


async def test_models_and_live_artifacts_show_their_blocks_to_who_may_read_them(server):
    alice, bob = await server.caller("alice"), await server.caller("bob")
    hers = await new_run(server, "alice")
    await new_run(server, "bob")
    experiment_id = await experiment_of(server, hers)
    made = await alice.models.CreateLoggedModel(model_pb.CreateLoggedModelRequest(source_run_id=hers))
    of_model = b"of the model"
    header = pb.CommitHeader(owner=artifact_pb2.TreeOwner(model_id=made.model.model_id))
    entry = pb.NewEntry(path="x", kind=artifact_pb2.ENTRY_KIND_FILE, size=len(of_model), inline_data=of_model)
    await alice.artifacts.CommitFiles(iter(parts(header, entry)))
    opened = await alice.live.OpenLiveArtifact(
        live_artifact_service_pb2.OpenLiveArtifactRequest(
            owner=artifact_pb2.TreeOwner(run_id=hers), path="log", mode="OPEN_MODE_CREATE"
        )
    )
    of_live = secrets.token_bytes(512 << 10)
    await alice.live.AppendLiveArtifact(
        live_artifact_service_pb2.AppendLiveArtifactRequest(
            live_id=opened.live_artifact.live_id, writer=opened.writer, data=of_live, digest=sha(of_live)
        )
    )
    assert len(await missing(bob, sha(of_model), sha(of_live))) == 2
    await server.grant("bob", "read", experiment=experiment_id)
    assert await missing(bob, sha(of_model), sha(of_live)) == []
    await server.grant("bob", None, experiment=experiment_id)
    assert len(await missing(bob, sha(of_model), sha(of_live))) == 2
    closed = await alice.live.CloseLiveArtifact(
        live_artifact_service_pb2.CloseLiveArtifactRequest(
            live_id=opened.live_artifact.live_id, writer=opened.writer, size=len(of_live)
        )
    )
    assert closed.live_artifact.digest == sha(of_live)


async def test_a_removed_principal_leaves_no_blocks_to_who_takes_its_name(server):
    data = secrets.token_bytes(64)
    for _ in range(2):
        kim = await server.caller("kim")
        await new_run(server, "kim")
        assert await missing(kim, sha(data)) == [sha(data)]
        await write(kim, data)
        assert await missing(kim, sha(data)) == []
        await server.owner.access.DeletePrincipal(access_service_pb2.DeletePrincipalRequest(name="kim"))
