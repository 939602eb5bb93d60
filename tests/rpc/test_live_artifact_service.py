"""LiveArtifactService over a socket: append, close, tail, take over."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from typing import Any

import grpc
import pytest

from holdfast.format.digests import BLOCK_SIZE, file_digest
from holdfast.v1 import artifact_pb2, live_artifact_pb2, run_service_pb2
from holdfast.v1 import artifact_service_pb2 as artifact_service
from holdfast.v1 import artifact_service_pb2_grpc as artifact_grpc
from holdfast.v1 import live_artifact_service_pb2 as pb
from holdfast.v1 import live_artifact_service_pb2_grpc as live_grpc

MIB = 1 << 20
UNKNOWN = "0" * 32


class Writer:
    """What a client does with an open live artifact."""

    def __init__(self, live: Any, answer: pb.OpenLiveArtifactResponse) -> None:
        self.live, self.writer = live, answer.writer
        self.owner = answer.live_artifact.owner
        self.id, self.size = answer.live_artifact.live_id, answer.live_artifact.size

    async def append(self, data: bytes, offset: int | None = None) -> int:
        request = pb.AppendLiveArtifactRequest(
            live_id=self.id,
            writer=self.writer,
            offset=self.size if offset is None else offset,
            data=data,
            digest=hashlib.sha256(data).digest(),
        )
        answer = await self.live.AppendLiveArtifact(request)
        self.size = answer.size
        return answer.size

    async def append_all(self, data: bytes, step: int = MIB) -> None:
        for start in range(0, len(data), step):
            await self.append(data[start : start + step])

    async def close(self, size: int | None = None) -> live_artifact_pb2.LiveArtifact:
        size = self.size if size is None else size
        request = pb.CloseLiveArtifactRequest(live_id=self.id, writer=self.writer, size=size)
        return (await self.live.CloseLiveArtifact(request)).live_artifact


@pytest.fixture
def live(channel: grpc.aio.Channel) -> Any:
    return live_grpc.LiveArtifactServiceStub(channel)


@pytest.fixture
def artifacts(channel: grpc.aio.Channel) -> Any:
    return artifact_grpc.ArtifactServiceStub(channel)


@pytest.fixture
async def run_id(runs: Any) -> str:
    return (await runs.CreateRun(run_service_pb2.CreateRunRequest())).run.run_id


@pytest.fixture
def owner(run_id: str) -> artifact_pb2.TreeOwner:
    return artifact_pb2.TreeOwner(run_id=run_id)


@pytest.fixture
def begin(live: Any, owner: artifact_pb2.TreeOwner) -> Any:
    async def begin(path: str = "log", mode: int = pb.OPEN_MODE_CREATE, **more: Any) -> Writer:
        request = pb.OpenLiveArtifactRequest(owner=owner, path=path, mode=mode, **more)
        return Writer(live, await live.OpenLiveArtifact(request))

    return begin


async def tail(live: Any, **request: Any) -> tuple[bytes, Any]:
    """All the data of a stream, and its end."""
    data, end = b"", None
    async for message in live.TailArtifact(pb.TailArtifactRequest(**request)):
        if message.WhichOneof("part") == "data":
            assert hashlib.sha256(message.data.data).digest() == message.data.digest
            data += message.data.data
        end = message
    return data, end.end


async def paths(artifacts: Any, owner: artifact_pb2.TreeOwner) -> dict[str, bytes]:
    request = artifact_service.ListFilesRequest(owner=owner, recursive=True)
    return {entry.path: entry.digest for entry in (await artifacts.ListFiles(request)).entries}


async def commit(artifacts: Any, owner: artifact_pb2.TreeOwner, path: str, data: bytes) -> None:
    entry = artifact_service.NewEntry(
        path=path, kind=artifact_pb2.ENTRY_KIND_FILE, size=len(data), inline_data=data, executable=True
    )
    parts = [
        artifact_service.CommitFilesRequest(header=artifact_service.CommitHeader(owner=owner)),
        artifact_service.CommitFilesRequest(entries=artifact_service.CommitEntries(entries=[entry])),
        artifact_service.CommitFilesRequest(end=artifact_service.CommitEnd(entry_count=1)),
    ]
    await artifacts.CommitFiles(iter(parts))


def digest_of(data: bytes) -> bytes:
    blocks = [data[start : start + BLOCK_SIZE] for start in range(0, len(data), BLOCK_SIZE)]
    return file_digest([hashlib.sha256(block).digest() for block in blocks])


@pytest.mark.parametrize(
    ("sizes", "step"),
    [
        pytest.param([0], 1, id="nothing"),
        pytest.param([1, 10, 100], 7, id="a few bytes"),
        pytest.param([200_000], 5_000, id="many small appends"),
        pytest.param([30_000, 900_000, 10, 70_000], MIB, id="small and large ones in turn"),
        pytest.param([8 * MIB], MIB, id="one full block"),
        pytest.param([17 * MIB + 12_345], 777_777, id="across blocks"),
    ],
)
async def test_closing_makes_the_file_that_an_upload_would_have_made(artifacts, owner, begin, sizes, step):
    data, uri = b"", f"runs:/{owner.run_id}/logs/train.log"
    writer = await begin("logs/train.log")
    for size in sizes:
        part = random.Random(size).randbytes(size)
        await writer.append_all(part, step)
        data += part
    assert await paths(artifacts, owner) == {}
    assert (await tail(writer.live, uri=uri))[0] == data
    closed = await writer.close()
    assert (closed.state, closed.size) == (live_artifact_pb2.LIVE_STATE_CLOSED, len(data))
    assert await paths(artifacts, owner) == {"logs": b"", "logs/train.log": digest_of(data)}
    found, end = await tail(writer.live, uri=uri, offset=len(data) // 3)
    assert (found, end.digest) == (data[len(data) // 3 :], digest_of(data))


async def test_rows_and_objects_stay_few_however_small_the_appends(app, begin):
    writer = await begin()
    for _ in range(300):
        await writer.append(b"x" * 1000)
    rows = await app.database.read(
        lambda tx: [
            tx._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("live_segments", "live_tails", "blocks")
        ]
    )
    assert rows[0] <= 5
    assert rows[1] <= 10
    assert rows[2] <= 6, "identical pieces are stored once, others some dozens of kilobytes at a time"


async def test_full_blocks_are_made_while_the_file_grows(app, begin):
    writer = await begin()
    await writer.append_all(random.Random(1).randbytes(16 * MIB + 5), 333_333)
    live = await app.database.read(lambda tx: tx.live.get(writer.id))
    pieces = await app.database.read(lambda tx: tx.live.list_pieces(live, 0, 1000))
    assert live.full == 16 * MIB
    assert [piece.length for piece in pieces] == [8 * MIB, 8 * MIB, 5]


async def test_a_repeated_append_is_acknowledged_and_kept_once(live, run_id, begin):
    writer = await begin()
    data = random.Random(2).randbytes(400_000)
    assert await writer.append(data) == 400_000
    assert await writer.append(data, offset=0) == 400_000
    assert await writer.append(data[100:] + b"new", offset=100) == 400_003
    answers = await asyncio.gather(*[writer.append(b"tail", offset=400_003) for _ in range(10)])
    assert answers == [400_007] * 10
    large = random.Random(3).randbytes(MIB)
    answers = await asyncio.gather(*[writer.append(large, offset=400_007) for _ in range(5)])
    assert set(answers) == {400_007 + MIB}
    assert (await tail(live, live_id=writer.id))[0] == data + b"newtail" + large


async def test_other_bytes_gaps_and_broken_data_are_refused(live, run_id, begin, refused):
    writer = await begin()
    await writer.append(b"hello")
    await refused(writer.append(b"HELLO", offset=0), "INVALID_ARGUMENT", "CONTENT_MISMATCH")
    refusal = await refused(writer.append(b"more", offset=6), "INVALID_ARGUMENT", "INVALID_VALUE")
    assert (refusal.field, refusal.metadata["size"]) == ("offset", "5")
    request = pb.AppendLiveArtifactRequest(
        live_id=writer.id, writer=writer.writer, offset=5, data=b"x", digest=hashlib.sha256(b"y").digest()
    )
    await refused(live.AppendLiveArtifact(request), "INVALID_ARGUMENT", "CONTENT_MISMATCH")
    await refused(writer.append(b"x" * (MIB + 1)), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await refused(writer.close(4), "INVALID_ARGUMENT", "INVALID_VALUE")
    assert (await tail(live, live_id=writer.id))[0] == b"hello"


async def test_a_second_writer_takes_over_where_the_first_was(live, run_id, begin, refused):
    first = await begin()
    await first.append(b"one ")
    second = await begin(mode=pb.OPEN_MODE_APPEND)
    assert (second.id, second.size) == (first.id, 4)
    refusal = await refused(first.append(b"lost", offset=4), "FAILED_PRECONDITION", "WRITER_SUPERSEDED")
    assert "mode 'a'" in refusal.message
    await refused(first.close(4), "FAILED_PRECONDITION", "WRITER_SUPERSEDED")
    await second.append(b"two")
    await second.close()
    assert (await tail(live, uri=f"runs:/{run_id}/log"))[0] == b"one two"
    await refused(second.append(b"x"), "FAILED_PRECONDITION", "NOT_OPEN")


async def test_closing_again_answers_the_same(begin):
    writer = await begin()
    await writer.append(b"x")
    assert await writer.close() == await writer.close()


async def test_opening_with_one_request_id_opens_once(begin):
    first, second = await begin(request_id="r"), await begin(request_id="r")
    assert (first.id, first.writer) == (second.id, second.writer)


async def test_beginning_anew_replaces_what_is_being_written(live, run_id, begin, refused):
    first = await begin()
    await first.append(b"old")
    following = asyncio.create_task(tail(live, live_id=first.id, follow=True))
    second = await begin()
    await refused(first.append(b"x"), "FAILED_PRECONDITION", "NOT_OPEN")
    data, end = await asyncio.wait_for(following, 60)
    assert end.state == live_artifact_pb2.LIVE_STATE_REPLACED
    assert data in {b"", b"old"}
    await second.append(b"new")
    assert (await tail(live, uri=f"runs:/{run_id}/log"))[0] == b"new"


async def test_appending_goes_on_with_a_closed_file(live, artifacts, owner, run_id, begin):
    await commit(artifacts, owner, "log", b"before ")
    writer = await begin(mode=pb.OPEN_MODE_APPEND)
    assert writer.size == 7
    await writer.append(b"after")
    assert await paths(artifacts, owner) == {"log": hashlib.sha256(b"before ").digest()}
    await writer.close()
    assert await paths(artifacts, owner) == {"log": hashlib.sha256(b"before after").digest()}
    (entry,) = (await artifacts.ListFiles(artifact_service.ListFilesRequest(owner=owner))).entries
    assert entry.executable


async def test_exclusive_opening_refuses_what_is_there(artifacts, owner, begin, refused):
    await commit(artifacts, owner, "file", b"x")
    await begin("live", pb.OPEN_MODE_EXCLUSIVE)
    for path in ("file", "live"):
        await refused(begin(path, pb.OPEN_MODE_EXCLUSIVE), "ALREADY_EXISTS", "ALREADY_EXISTS")
    await refused(begin("log", pb.OPEN_MODE_UNSPECIFIED), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_paths_that_could_not_become_entries_are_refused(artifacts, owner, begin, refused):
    await commit(artifacts, owner, "dir/file", b"x")
    await begin("live")
    await begin("cafe\u0301")
    for path in ("dir", "dir/file/log", "live/log", "caf\u00e9"):
        await refused(begin(path), "FAILED_PRECONDITION", "PATH_CONFLICT")
    await refused(begin("../log"), "INVALID_ARGUMENT", "INVALID_PATH")


async def test_a_conflict_at_closing_keeps_the_bytes(live, artifacts, owner, begin, refused):
    writer = await begin("place")
    await writer.append(b"kept")
    await commit(artifacts, owner, "place/file", b"x")
    await refused(writer.close(), "FAILED_PRECONDITION", "PATH_CONFLICT")
    assert (await tail(live, live_id=writer.id))[0] == b"kept"
    await artifacts.DeleteFiles(artifact_service.DeleteFilesRequest(owner=owner, paths=["place"]))
    await writer.close()
    assert (await paths(artifacts, owner))["place"] == hashlib.sha256(b"kept").digest()


async def test_a_deleted_run_takes_nothing_and_keeps_what_it_has(live, runs, run_id, begin, refused):
    writer = await begin()
    await writer.append(b"kept")
    await runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=run_id))
    await refused(writer.append(b"x"), "FAILED_PRECONDITION", "DELETED")
    await refused(writer.close(4), "FAILED_PRECONDITION", "DELETED")
    await refused(begin(), "FAILED_PRECONDITION", "DELETED")
    await runs.RestoreRun(run_service_pb2.RestoreRunRequest(run_id=run_id))
    assert await writer.append(b" on") == 7


async def test_the_abandoned_are_closed_and_the_ended_forgotten(app, artifacts, begin, monkeypatch, refused):
    writer = await begin()
    owner = writer.owner
    await writer.append(b"last words")
    await app.live.close_abandoned()
    assert await paths(artifacts, owner) == {}
    await app.live.close_abandoned(idle_ms=-1)
    assert await paths(artifacts, owner) == {"log": hashlib.sha256(b"last words").digest()}
    monkeypatch.setattr("holdfast_server.services.live_artifacts.REMEMBERED_MS", -1)
    await app.live.close_abandoned()
    call = writer.live.GetLiveArtifact(pb.GetLiveArtifactRequest(live_id=writer.id))
    await refused(call, "NOT_FOUND", "LIVE_ARTIFACT_NOT_FOUND")


async def test_what_is_being_written_is_listed(live, owner, begin):
    for path in ("b", "a", "c"):
        await begin(path)
    await (await begin("closed")).close()
    found = (await live.ListLiveArtifacts(pb.ListLiveArtifactsRequest(owner=owner))).live_artifacts
    assert [item.path for item in found] == ["a", "b", "c"]
    answer = await live.GetLiveArtifact(pb.GetLiveArtifactRequest(live_id=found[0].live_id))
    assert answer.live_artifact == found[0]


async def test_a_follower_gets_what_is_appended_and_the_end(live, begin):
    writer = await begin()
    await writer.append(b"0123456789")
    following = asyncio.create_task(tail(live, live_id=writer.id, offset=-4, follow=True))
    for number in range(20):
        await writer.append(f" {number}".encode())
        await asyncio.sleep(0)
    closed = await writer.close()
    data, end = await asyncio.wait_for(following, 60)
    assert (b"0123456789" + b"".join(f" {n}".encode() for n in range(20))).endswith(data)
    assert (end.state, end.size, end.digest) == (live_artifact_pb2.LIVE_STATE_CLOSED, closed.size, closed.digest)


async def test_heartbeats_come_while_nothing_does(live, begin, monkeypatch):
    monkeypatch.setattr("holdfast_server.rpc.tails.HEARTBEAT", 0.05)
    writer = await begin()
    parts = []
    async for message in live.TailArtifact(pb.TailArtifactRequest(live_id=writer.id, follow=True)):
        parts.append(message.WhichOneof("part"))
        if len(parts) == 3:
            break
    assert parts == ["header", "heartbeat", "heartbeat"]


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        pytest.param({}, "INVALID_ARGUMENT", "INVALID_VALUE", id="nothing named"),
        pytest.param({"uri": "log"}, "INVALID_ARGUMENT", "INVALID_VALUE", id="no uri"),
        pytest.param({"uri": f"runs:/{UNKNOWN}/log"}, "NOT_FOUND", "RUN_NOT_FOUND", id="no run"),
        pytest.param({"live_id": UNKNOWN}, "NOT_FOUND", "LIVE_ARTIFACT_NOT_FOUND", id="no live artifact"),
    ],
)
async def test_what_cannot_be_tailed_is_refused(live, refused, request_, code, reason):
    await refused(tail(live, **request_), code, reason)


async def test_files_and_directories_of_a_run_tell_what_they_are(live, artifacts, owner, run_id, refused):
    await commit(artifacts, owner, "dir/file", b"content")
    for uri in (f"runs:/{run_id}", f"runs:/{run_id}/dir", f"runs:/{run_id}/nothing"):
        await refused(tail(live, uri=uri), "NOT_FOUND", "FILE_NOT_FOUND")
    data, end = await tail(live, uri=f"runs:/{run_id}/dir/file", offset=-3, follow=True)
    assert (data, end.state) == (b"ent", live_artifact_pb2.LIVE_STATE_CLOSED)
    await refused(tail(live, uri=f"runs:/{run_id}/dir/file", offset=8), "INVALID_ARGUMENT", "INVALID_VALUE")
    await refused(tail(live, uri=f"runs:/{run_id}/dir/file", expected_digest=b"x" * 32), "ABORTED", "CONFLICT")


async def test_damaged_bytes_are_an_error_and_never_data(app, live, begin, refused):
    writer = await begin()
    await writer.append(b"intact")
    await app.database.write(lambda tx: tx._connection.execute("UPDATE live_tails SET data = ?", (b"broken",)) and None)
    await refused(tail(live, live_id=writer.id), "DATA_LOSS", "DATA_LOSS")
    await writer.append(b"more")
    await refused(tail(live, live_id=writer.id), "DATA_LOSS", "DATA_LOSS")
    await refused(writer.close(), "DATA_LOSS", "DATA_LOSS")


async def test_hundreds_of_followers_cost_no_thread_and_little_time(live, begin):
    writer = await begin()
    await writer.append(b"begin ")
    threads = threading.active_count()
    followers = [asyncio.create_task(tail(live, live_id=writer.id, follow=True)) for _ in range(300)]
    for number in range(20):
        await writer.append(f"{number} ".encode())
    assert threading.active_count() <= threads + 5
    await writer.close()
    expected = b"begin " + b"".join(f"{number} ".encode() for number in range(20))
    assert {data for data, _ in await asyncio.wait_for(asyncio.gather(*followers), 60)} == {expected}


async def test_readers_that_take_nothing_do_not_hold_up_those_at_the_end(app, live, begin):
    writer = await begin()
    await writer.append_all(random.Random(4).randbytes(9 * MIB))
    options = [("grpc.use_local_subchannel_pool", 1)]  # streams of one connection would hold up each other
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.ports[0]}", options=options) as other:
        stalled = [
            live_grpc.LiveArtifactServiceStub(other).TailArtifact(
                pb.TailArtifactRequest(live_id=writer.id, follow=True)
            )
            for _ in range(12)
        ]
        for call in stalled:
            assert (await call.read()).HasField("header")
        following = asyncio.create_task(tail(live, live_id=writer.id, offset=writer.size, follow=True))
        await writer.append(b"the end")
        await writer.close()
        assert (await asyncio.wait_for(following, 60))[0] == b"the end"
        for call in stalled:
            call.cancel()


async def test_what_is_being_written_holds_its_blocks_and_goes_with_its_tree(app, begin):
    writer = await begin()
    await writer.append(bytes(MIB))

    def execute(statement: str) -> Any:
        return app.database.write(lambda tx: tx._connection.execute(statement).rowcount)

    with pytest.raises(Exception, match="FOREIGN KEY"):
        await execute("DELETE FROM blocks")
    assert await execute("DELETE FROM trees") == 1
    assert await execute("DELETE FROM blocks") == 1
