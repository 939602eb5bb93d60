"""Commits over a real socket: all at once or nothing, once however often, and never over what they were not told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from tests.rpc.artifact_api import DIRECTORY, FILE, ArtifactApi, commit_parts, failure, inline, sha

from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import (
    model_pb2,
    model_service_pb2,
    run_service_pb2,
)
from holdfast_server.app import App
from holdfast_server.domain.artifacts import NewEntry
from holdfast_server.rpc import artifact_service, incoming
from holdfast_server.rpc.commit_stream import CommitStream
from holdfast_server.rpc.incoming import Incoming
from holdfast_server.services.commits import FIRST_STAGE_SIZE, InlineEntry


async def test_many_entries_become_visible_at_once(api: ArtifactApi) -> None:
    owner = await api.new_run()
    entries = [inline(f"d{i % 7}/{i:05}.txt", b"%d" % i) for i in range(5_000)]
    response = await api.commit(owner, *entries, digest=True)
    assert response.committed.file_count == 5_000
    found, token = [], ""
    while True:
        page = await api.stub.ListFiles(
            pb.ListFilesRequest(owner=owner, recursive=True, page_size=999, page_token=token)
        )
        found += [entry.path for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted({e.path for e in entries} | {f"d{i}" for i in range(7)})
    parts = [
        part async for r in api.stub.ReadFiles(pb.ReadFilesRequest(owner=owner, max_data_size=100)) for part in r.parts
    ]
    assert {p.entry.path: p.data for p in parts if p.entry.kind == FILE} == {e.path: e.inline_data for e in entries}


async def test_a_snapshot_never_changes(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("a", b"1"), inline("b", b"1"))
    before = (await api.stub.GetTree(pb.GetTreeRequest(owner=owner))).tree
    await api.commit(owner, inline("a", b"2"), inline("c", b"2"))
    await api.stub.DeleteFiles(pb.DeleteFilesRequest(owner=owner, paths=["b"]))
    assert await api.paths(owner) == ["a", "c"]
    assert await api.paths(owner, sequence=1) == ["a", "b"]
    assert (await api.read(owner, "a", sequence=1))[1] == b"1"
    assert (await api.read(owner, "a"))[1] == b"2"
    again = (await api.stub.GetTree(pb.GetTreeRequest(owner=owner, sequence=1))).tree
    assert again == before


async def test_a_retried_commit_has_one_effect(api: ArtifactApi) -> None:
    owner = await api.new_run()
    first = await api.commit(owner, inline("a"), request_id="r-1")
    again = await api.commit(owner, inline("a"), request_id="r-1")
    assert first == again
    code, reason, _ = await failure(api.commit(owner, inline("b"), request_id="r-1"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_a_retry_is_the_same_however_its_contents_are_named_and_cut(api: ArtifactApi) -> None:
    owner = await api.new_run()
    first = await api.commit(owner, inline("a", b"first"), inline("b", b"second"), request_id="one")
    header = pb.CommitHeader(owner=owner, request_id="one")
    by_digest = pb.NewEntry(path="a", kind=FILE, size=5, block_digests=[sha(b"first")])
    again = await api.stub.CommitFiles(iter(commit_parts(header, [by_digest], [inline("b", b"second")])))
    assert again.committed.sequence == first.committed.sequence
    other = pb.NewEntry(path="a", kind=FILE, size=5, block_digests=[sha(b"first")], executable=True)
    refused = api.commit(owner, other, inline("b", b"second"), request_id="one")
    assert (await failure(refused))[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_contents_of_an_interrupted_commit_need_not_be_sent_again(
    api: ArtifactApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class NotingStream(CommitStream):
        def _take(self, messages: Sequence[pb.NewEntry]) -> list[NewEntry | InlineEntry]:
            taken.extend(message.path for message in messages)
            return super()._take(messages)

    monkeypatch.setattr(artifact_service, "CommitStream", NotingStream)
    owner = await api.new_run()
    contents = [secrets.token_bytes(50_000) for _ in range(200)]  # some parts staged, some only received

    async def cut_short() -> AsyncIterator[pb.CommitFilesRequest]:
        yield pb.CommitFilesRequest(header=pb.CommitHeader(owner=owner))
        for number, data in enumerate(contents):
            yield pb.CommitFilesRequest(entries=pb.CommitEntries(entries=[inline(f"f{number}", data)]))
        await asyncio.Event().wait()

    call = api.stub.CommitFiles(cut_short())
    # The last one is taken in just now, and an entry waits for the next message: more blocks of it may come.
    digests = [sha(data) for data in contents[:-2]]
    await api.until(lambda missing: len(missing) <= len(digests) // 2 and len(taken) == len(contents), digests)
    call.cancel()
    await api.until(lambda missing: not missing, digests)
    assert await api.paths(owner) == []


async def test_a_commit_without_its_end_is_no_commit(api: ArtifactApi) -> None:
    owner = await api.new_run()
    whole = commit_parts(pb.CommitHeader(owner=owner), [inline("a"), inline("b")], [inline("c")])
    wrong = pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=2))
    for parts in (whole[:-1], whole[:-2], [*whole[:-1], wrong], [*whole, whole[1]]):
        code, reason, message = await failure(api.stub.CommitFiles(iter(parts)))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_VALUE")
        assert "end" in message
    assert await api.paths(owner) == []


@pytest.mark.parametrize("count", [FIRST_STAGE_SIZE + 50, 3_000], ids=["few", "many"])
async def test_a_retried_commit_of_several_parts_has_one_effect(api: ArtifactApi, count: int) -> None:
    owner = await api.new_run()
    entries = [inline(f"{i:05}") for i in range(count)]
    first = await api.commit(owner, *entries, request_id="large")
    again = await api.commit(owner, *entries, request_id="large")
    assert (first.committed.sequence, again.committed.sequence) == (1, 1)
    assert (await api.stub.GetTree(pb.GetTreeRequest(owner=owner))).tree.sequence == 1


@pytest.mark.parametrize("count", [FIRST_STAGE_SIZE + 50, 3_000], ids=["few", "many"])
async def test_a_path_that_comes_again_in_a_later_part_is_refused(api: ArtifactApi, count: int) -> None:
    owner = await api.new_run()
    entries = [inline(f"d/{i:05}", b"%d" % i) for i in range(count)]
    code, reason, message = await failure(api.commit(owner, *entries, inline("d/00001", b"other")))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PATH")
    assert "'d/00001' comes twice" in message
    code, reason, _ = await failure(api.commit(owner, *entries, inline("d/00001/x")))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PATH_CONFLICT")
    assert (await api.stub.GetTree(pb.GetTreeRequest(owner=owner))).tree.sequence == 0


async def test_blocks_that_any_part_of_a_commit_lacks_are_all_told(api: ArtifactApi) -> None:
    owner = await api.new_run()
    first, last = (pb.NewEntry(path=p, kind=FILE, size=1, block_digests=[sha(p.encode())]) for p in "ab")
    between = [inline(f"{i:05}") for i in range(FIRST_STAGE_SIZE + 50)]
    response = await api.commit(owner, first, *between, last)
    assert set(response.missing.digests) == {sha(b"a"), sha(b"b")}
    assert (await api.stub.GetTree(pb.GetTreeRequest(owner=owner))).tree.sequence == 0


async def test_contents_that_come_twice_in_a_commit_are_one_file(api: ArtifactApi) -> None:
    owner = await api.new_run()
    by_digest = pb.NewEntry(path="c", kind=FILE, size=4, block_digests=[sha(b"same")])
    await api.commit(owner, inline("a", b"same"), inline("b", b"same"), by_digest)
    assert [(await api.read(owner, path))[1] for path in "abc"] == [b"same"] * 3
    wrong = pb.NewEntry(path="d", kind=FILE, size=5, block_digests=[sha(b"new!")])
    code, reason, _ = await failure(api.commit(owner, inline("e", b"new!"), wrong))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_MISMATCH")


CONFLICTS = [
    pytest.param(["a"], "a/b", id="below-a-file"),
    pytest.param(["a/b"], "a", id="in-the-place-of-a-directory"),
    pytest.param(["caf\u00e9"], "cafe\u0301", id="equal-after-normalization"),
    pytest.param(["cafe\u0301"], "caf\u00e9", id="equal-after-normalization-reversed"),
    pytest.param(["cafe\u0301/x"], "caf\u00e9/y", id="directories-equal-after-normalization"),
]


@pytest.mark.parametrize(("first", "second"), CONFLICTS)
@pytest.mark.parametrize("together", [False, True], ids=["two-commits", "one-commit"])
async def test_paths_that_cannot_stand_together_are_refused(
    api: ArtifactApi, first: list[str], second: str, together: bool
) -> None:
    owner = await api.new_run()
    if not together:
        await api.commit(owner, *map(inline, first))
    before = await api.paths(owner)
    call = api.commit(owner, *map(inline, first * together), inline(second))
    code, reason, _ = await failure(call)
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PATH_CONFLICT")
    assert await api.paths(owner) == before


async def test_a_file_may_stand_where_a_deleted_directory_was(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("a/b/c"))
    await api.stub.DeleteFiles(pb.DeleteFilesRequest(owner=owner, paths=["a"]))
    await api.commit(owner, inline("a"))
    assert await api.paths(owner) == ["a"]


async def test_everything_is_removed_at_once_and_earlier_snapshots_stay(api: ArtifactApi) -> None:
    owner = await api.new_run()
    everything = pb.DeleteFilesRequest(owner=owner, paths=[""])
    assert (await api.stub.DeleteFiles(everything)).tree.sequence == 1  # there was nothing
    await api.commit(owner, inline("a/b/c"), inline("z"), inline("\U0010ffff"))
    await api.stub.DeleteFiles(everything)
    assert await api.paths(owner) == []
    assert await api.paths(owner, sequence=2) == ["a", "a/b", "a/b/c", "z", "\U0010ffff"]
    await api.commit(owner, inline("a"))
    assert await api.paths(owner) == ["a"]
    code, reason, _ = await failure(api.stub.DeleteFiles(pb.DeleteFilesRequest(owner=owner, paths=["a", ""])))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PATH")


async def test_a_large_commit_is_checked_against_the_tree(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("d"))
    code, reason, _ = await failure(api.commit(owner, *(inline(f"d/{i}") for i in range(2_500))))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PATH_CONFLICT")
    assert await api.paths(owner) == ["d"]


async def test_an_expectation_that_does_not_hold_is_a_conflict(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("t", b"1", expected_absent=True))
    await api.commit(owner, inline("t", b"2", expected_digest=sha(b"1")))
    for entry in (inline("t", b"3", expected_digest=sha(b"1")), inline("t", b"3", expected_absent=True)):
        code, reason, _ = await failure(api.commit(owner, entry))
        assert (code, reason) == (grpc.StatusCode.ABORTED, "CONFLICT")
    assert (await api.read(owner, "t"))[1] == b"2"


async def test_directories_survive_when_empty(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, pb.NewEntry(path="empty/inner", kind=DIRECTORY), inline("run.sh", executable=True))
    listing = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner))
    assert [(e.path, e.kind, e.executable) for e in listing.entries] == [
        ("empty", DIRECTORY, False),
        ("run.sh", FILE, True),
    ]


async def test_a_finalized_model_cannot_be_written(api: ArtifactApi) -> None:
    owner = await api.new_model()
    await api.commit(owner, inline("MLmodel"))
    await api.models.FinalizeLoggedModel(
        model_service_pb2.FinalizeLoggedModelRequest(
            model_id=owner.model_id, status=model_pb2.LOGGED_MODEL_STATUS_READY
        )
    )
    code, reason, _ = await failure(api.commit(owner, inline("more")))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_FINALIZED")


async def test_a_deleted_run_is_refused_and_a_restored_one_accepted(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=owner.run_id))
    code, reason, _ = await failure(api.commit(owner, inline("a")))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DELETED")
    await api.runs.RestoreRun(run_service_pb2.RestoreRunRequest(run_id=owner.run_id))
    await api.commit(owner, inline("a"))


BAD_COMMITS = [
    pytest.param([inline("../a")], "INVALID_PATH", id="path"),
    pytest.param([inline("a"), inline("a")], "INVALID_PATH", id="twice"),
    pytest.param([pb.NewEntry(path="a")], "INVALID_VALUE", id="no-kind"),
    pytest.param([pb.NewEntry(path="a", kind=DIRECTORY, size=1)], "CONTENT_MISMATCH", id="directory-with-size"),
    pytest.param([pb.NewEntry(path="a", kind=FILE, size=-1)], "CONTENT_MISMATCH", id="negative-size"),
    pytest.param([pb.NewEntry(path="a", kind=FILE, size=9)], "CONTENT_MISMATCH", id="no-blocks"),
    pytest.param(
        [pb.NewEntry(path="a", kind=FILE, size=1, block_digests=[b"x"])], "CONTENT_MISMATCH", id="short-digest"
    ),
    pytest.param([pb.NewEntry(path="a", kind=FILE, size=2, inline_data=b"x")], "INVALID_VALUE", id="inline-size"),
    pytest.param([inline("a", b"x" * 65_537)], "LIMIT_EXCEEDED", id="inline-too-large"),
    pytest.param([inline("a", digest=sha(b"y"))], "CONTENT_MISMATCH", id="wrong-digest"),
]


@pytest.mark.parametrize(("entries", "reason"), BAD_COMMITS)
async def test_a_bad_entry_is_refused_and_nothing_kept(
    api: ArtifactApi, entries: list[pb.NewEntry], reason: str
) -> None:
    owner = await api.new_run()
    code, found, _ = await failure(api.commit(owner, inline("good"), *entries))
    assert (code, found) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert await api.paths(owner) == []


async def test_blocks_must_make_up_the_size(api: ArtifactApi) -> None:
    owner = await api.new_run()
    data = secrets.token_bytes(100)
    await api.write([pb.WriteBlocksRequest(blocks=[artifact_pb.Block(digest=sha(data), data=data)])])
    code, reason, _ = await failure(
        api.commit(owner, pb.NewEntry(path="a", kind=FILE, size=99, block_digests=[sha(data)]))
    )
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_MISMATCH")


@pytest.mark.parametrize(
    ("owner", "code", "reason"),
    [
        pytest.param(artifact_pb.TreeOwner(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_VALUE", id="none"),
        pytest.param(artifact_pb.TreeOwner(run_id="x"), grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", id="malformed"),
        pytest.param(artifact_pb.TreeOwner(run_id="0" * 32), grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", id="run"),
        pytest.param(
            artifact_pb.TreeOwner(model_id="m-" + "0" * 32), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", id="model"
        ),
    ],
)
async def test_an_unknown_owner_is_refused(
    api: ArtifactApi, owner: artifact_pb.TreeOwner, code: grpc.StatusCode, reason: str
) -> None:
    assert (await failure(api.commit(owner, inline("a"))))[:2] == (code, reason)
    assert (await failure(api.stub.ListFiles(pb.ListFilesRequest(owner=owner))))[:2] == (code, reason)


async def test_page_tokens_belong_to_their_query(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, *(inline(f"{i}") for i in range(5)))
    page = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner, page_size=2))
    for token in (page.next_page_token, "forged", "é"):
        request = pb.ListFilesRequest(owner=owner, page_size=2, recursive=True, page_token=token)
        assert (await failure(api.stub.ListFiles(request)))[:2] == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_PAGE_TOKEN",
        )


async def test_a_listing_goes_on_in_its_snapshot(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, *(inline(f"{i}") for i in range(4)))
    page = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner, page_size=2))
    await api.commit(owner, inline("2x"))
    rest = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner, page_size=9, page_token=page.next_page_token))
    assert [e.path for e in page.entries] + [e.path for e in rest.entries] == ["0", "1", "2", "3"]


async def test_a_refused_commit_is_read_to_its_end_within_the_limits(
    api: ArtifactApi, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "DRAIN_PAUSE", 30.0)
    draining, drain = asyncio.Event(), Incoming.drain
    open_streams = 0

    async def noted(self: Incoming, *arguments: Any) -> None:
        draining.set()
        await drain(self, *arguments)

    monkeypatch.setattr(Incoming, "drain", noted)

    async def parts() -> AsyncIterator[pb.CommitFilesRequest]:
        nonlocal open_streams
        header, *rest = commit_parts(pb.CommitHeader(owner=artifact_pb.TreeOwner(run_id="x")), [inline("a")])
        yield header
        await draining.wait()  # the header alone is refused; gRPC's Python may lose a status while it writes
        for part in rest:
            yield part
        open_streams = app.limits.open_streams

    assert (await failure(api.stub.CommitFiles(parts())))[:2] == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert open_streams == 1
