"""ArtifactService over a real socket."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import (
    model_pb2,
    model_registry_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
)
from holdfast.v1 import model_registry_service_pb2 as registry_pb
from holdfast.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from holdfast_server.app import App
from holdfast_server.services.commits import STAGE_SIZE

FILE, DIRECTORY = artifact_pb.ENTRY_KIND_FILE, artifact_pb.ENTRY_KIND_DIRECTORY


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def inline(path: str, data: bytes = b"x", **fields: Any) -> pb.NewEntry:
    return pb.NewEntry(path=path, kind=FILE, size=len(data), inline_data=data, **fields)


def commit_parts(header: pb.CommitHeader, *messages: Sequence[pb.NewEntry]) -> list[pb.CommitFilesRequest]:
    """The messages of a commit whose entries are cut like this."""
    return [
        pb.CommitFilesRequest(header=header),
        *(pb.CommitFilesRequest(entries=pb.CommitEntries(entries=entries)) for entries in messages),
        pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=sum(map(len, messages)))),
    ]


class Api:
    """Short calls for the tests."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = ArtifactServiceStub(channel)
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.write_raw = channel.stream_stream(
            "/holdfast.v1.ArtifactService/WriteBlocks", None, pb.WriteBlocksResponse.FromString
        )

    async def new_run(self) -> artifact_pb.TreeOwner:
        response = await self.runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id="0"))
        return artifact_pb.TreeOwner(run_id=response.run.run_id)

    async def new_model(self) -> artifact_pb.TreeOwner:
        request = model_service_pb2.CreateLoggedModelRequest(experiment_id="0", name="m")
        return artifact_pb.TreeOwner(model_id=(await self.models.CreateLoggedModel(request)).model.model_id)

    async def commit(
        self, owner: artifact_pb.TreeOwner, *entries: pb.NewEntry, request_id: str = "", digest: bool = False
    ) -> pb.CommitFilesResponse:
        header = pb.CommitHeader(owner=owner, request_id=request_id, return_tree_digest=digest)
        return await self.stub.CommitFiles(iter(commit_parts(header, entries)))

    async def write(self, messages: Iterable[bytes | pb.WriteBlocksRequest]) -> dict[bytes, pb.BlockResult]:
        async def requests() -> AsyncIterator[bytes]:
            for message in messages:
                yield message if isinstance(message, bytes) else message.SerializeToString()

        results: dict[bytes, pb.BlockResult] = {}
        async for response in self.write_raw(requests()):
            results.update((result.digest, result) for result in response.results)
        return results

    async def missing(self, digests: list[bytes]) -> list[bytes]:
        response = await self.stub.FindMissingBlocks(pb.FindMissingBlocksRequest(digests=digests))
        return list(response.missing_digests)

    async def until(self, condition: Callable[[list[bytes]], bool], digests: list[bytes]) -> None:
        """Wait until what is missing of ``digests`` is as it should be; the suite's time limit ends it."""
        while not condition(await self.missing(digests)):  # noqa: ASYNC110 - what happens elsewhere has no event here
            await asyncio.sleep(0.01)

    async def paths(self, owner: artifact_pb.TreeOwner, **fields: Any) -> list[str]:
        response = await self.stub.ListFiles(pb.ListFilesRequest(owner=owner, recursive=True, **fields))
        return [entry.path for entry in response.entries]

    async def read(self, owner: artifact_pb.TreeOwner, path: str, **fields: Any) -> tuple[pb.ReadFileHeader, bytes]:
        header, data = pb.ReadFileHeader(), b""
        async for message in self.stub.ReadFile(pb.ReadFileRequest(owner=owner, path=path, **fields)):
            if message.HasField("header"):
                header = message.header
            data += message.chunk.data
        return header, data


@pytest.fixture
def api(channel: grpc.aio.Channel) -> Api:
    return Api(channel)


async def failure(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Status, reason and message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = dict(tuple(caught.value.trailing_metadata() or ()))["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(details).details[0].Unpack(info)
    assert info.domain == "holdfast"
    return caught.value.code(), info.reason, caught.value.details() or ""


def chunked(data: bytes, digest: bytes | None = None, size: int | None = None) -> list[bytes]:
    digest = sha(data) if digest is None else digest
    pieces = [data[i : i + (1 << 20)] for i in range(0, len(data), 1 << 20)]
    first = Chunk(digest, len(data) if size is None else size, pieces[0])
    return [encode_chunk(first), *(encode_chunk(Chunk(b"", 0, piece)) for piece in pieces[1:])]


async def test_a_small_file_is_one_commit(api: Api) -> None:
    owner = await api.new_run()
    response = await api.commit(owner, inline("a/b.txt", b"hello"), digest=True)
    assert response.committed.sequence == 1
    assert response.committed.file_count == 1
    assert response.committed.total_size == 5
    assert await api.paths(owner) == ["a", "a/b.txt"]
    header, data = await api.read(owner, "a/b.txt")
    assert (header.entry.digest, data) == (sha(b"hello"), b"hello")


async def test_a_file_of_several_blocks_comes_back_whole(api: Api) -> None:
    owner = await api.new_run()
    blocks = [secrets.token_bytes(1 << 16) * 128, b"tail" * 1000]
    results = await api.write([*chunked(blocks[0]), *chunked(blocks[1])])
    assert {r.status for r in results.values()} == {pb.BLOCK_STATUS_STORED}
    digests = [sha(block) for block in blocks]
    size = sum(map(len, blocks))
    await api.commit(owner, pb.NewEntry(path="big", kind=FILE, size=size, block_digests=digests))
    header, data = await api.read(owner, "big")
    assert data == b"".join(blocks)
    assert header.entry.digest == file_digest(digests)


async def test_a_range_is_widened_to_whole_blocks(api: Api) -> None:
    owner = await api.new_run()
    blocks = [bytes([i]) * BLOCK_SIZE for i in range(2)] + [b"end"]
    await api.write([message for block in blocks for message in chunked(block)])
    entry = pb.NewEntry(path="f", kind=FILE, size=2 * BLOCK_SIZE + 3, block_digests=[sha(b) for b in blocks])
    await api.commit(owner, entry)
    header, data = await api.read(owner, "f", offset=BLOCK_SIZE + 5, limit=10)
    assert (header.start_offset, header.end_offset) == (BLOCK_SIZE, 2 * BLOCK_SIZE)
    assert data == blocks[1]
    header, data = await api.read(owner, "f", offset=2 * BLOCK_SIZE + 3)
    assert (data, header.start_offset) == (b"end", 2 * BLOCK_SIZE)


async def test_the_empty_file_has_no_blocks(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, pb.NewEntry(path="empty", kind=FILE), inline("empty2", b""))
    header, data = await api.read(owner, "empty")
    assert (data, header.entry.digest) == (b"", sha(b""))


async def test_a_commit_that_names_missing_blocks_answers_them_and_changes_nothing(api: Api) -> None:
    owner = await api.new_run()
    lost = sha(secrets.token_bytes(8))
    response = await api.commit(owner, inline("a"), pb.NewEntry(path="b", kind=FILE, size=5, block_digests=[lost]))
    assert list(response.missing.digests) == [lost]
    assert await api.paths(owner) == []


async def test_blocks_that_are_there_are_not_missing(api: Api) -> None:
    data = secrets.token_bytes(100)
    request = pb.FindMissingBlocksRequest(digests=[sha(data), sha(b"other" + data)])
    await api.write([pb.WriteBlocksRequest(blocks=[artifact_pb.Block(digest=sha(data), data=data)])])
    assert list((await api.stub.FindMissingBlocks(request)).missing_digests) == [sha(b"other" + data)]


async def test_bad_blocks_are_answered_and_the_good_ones_kept(api: Api) -> None:
    good, wrong, short, long = (secrets.token_bytes(3 << 20) for _ in range(4))
    results = await api.write(
        [
            *chunked(wrong, digest=sha(b"something else")),
            *chunked(long, size=len(long) - 7),
            *chunked(good),
            pb.WriteBlocksRequest(
                blocks=[artifact_pb.Block(digest=sha(b"a"), data=b"a"), artifact_pb.Block(digest=sha(b"?"), data=b"b")]
            ),
            *chunked(short, size=len(short) + 7),
        ]
    )
    statuses = {digest: result.status for digest, result in results.items()}
    assert statuses == {
        sha(b"something else"): pb.BLOCK_STATUS_DIGEST_MISMATCH,
        sha(long): pb.BLOCK_STATUS_BAD_SIZE,
        sha(good): pb.BLOCK_STATUS_STORED,
        sha(b"a"): pb.BLOCK_STATUS_STORED,
        sha(b"?"): pb.BLOCK_STATUS_DIGEST_MISMATCH,
        sha(short): pb.BLOCK_STATUS_BAD_SIZE,
    }
    missing = await api.stub.FindMissingBlocks(pb.FindMissingBlocksRequest(digests=list(statuses)))
    assert set(missing.missing_digests) == {d for d, s in statuses.items() if s != pb.BLOCK_STATUS_STORED}


async def test_many_entries_become_visible_at_once(api: Api) -> None:
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


async def test_a_snapshot_never_changes(api: Api) -> None:
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


async def test_a_retried_commit_has_one_effect(api: Api) -> None:
    owner = await api.new_run()
    first = await api.commit(owner, inline("a"), request_id="r-1")
    again = await api.commit(owner, inline("a"), request_id="r-1")
    assert first == again
    code, reason, _ = await failure(api.commit(owner, inline("b"), request_id="r-1"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_a_retry_is_the_same_however_its_contents_are_named_and_cut(api: Api) -> None:
    owner = await api.new_run()
    first = await api.commit(owner, inline("a", b"first"), inline("b", b"second"), request_id="one")
    header = pb.CommitHeader(owner=owner, request_id="one")
    by_digest = pb.NewEntry(path="a", kind=FILE, size=5, block_digests=[sha(b"first")])
    again = await api.stub.CommitFiles(iter(commit_parts(header, [by_digest], [inline("b", b"second")])))
    assert again.committed.sequence == first.committed.sequence
    other = pb.NewEntry(path="a", kind=FILE, size=5, block_digests=[sha(b"first")], executable=True)
    refused = api.commit(owner, other, inline("b", b"second"), request_id="one")
    assert (await failure(refused))[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_contents_of_an_interrupted_commit_need_not_be_sent_again(api: Api) -> None:
    owner = await api.new_run()
    contents = [secrets.token_bytes(50_000) for _ in range(200)]  # some parts staged, some only received

    async def cut_short() -> AsyncIterator[pb.CommitFilesRequest]:
        yield pb.CommitFilesRequest(header=pb.CommitHeader(owner=owner))
        for number, data in enumerate(contents):
            yield pb.CommitFilesRequest(entries=pb.CommitEntries(entries=[inline(f"f{number}", data)]))
        sent.set()
        await asyncio.Event().wait()

    sent = asyncio.Event()
    call = api.stub.CommitFiles(cut_short())
    await sent.wait()
    # The last message may still be under way, and an entry waits for the next message: more blocks of it may come.
    digests = [sha(data) for data in contents[:-2]]
    await api.until(lambda missing: len(missing) <= len(digests) // 2, digests)
    call.cancel()
    await api.until(lambda missing: not missing, digests)
    assert await api.paths(owner) == []


async def test_a_commit_without_its_end_is_no_commit(api: Api) -> None:
    owner = await api.new_run()
    whole = commit_parts(pb.CommitHeader(owner=owner), [inline("a"), inline("b")], [inline("c")])
    wrong = pb.CommitFilesRequest(end=pb.CommitEnd(entry_count=2))
    for parts in (whole[:-1], whole[:-2], [*whole[:-1], wrong], [*whole, whole[1]]):
        code, reason, message = await failure(api.stub.CommitFiles(iter(parts)))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_VALUE")
        assert "end" in message
    assert await api.paths(owner) == []


async def test_a_large_retried_commit_has_one_effect(api: Api) -> None:
    owner = await api.new_run()
    entries = [inline(f"{i:05}") for i in range(3_000)]
    first = await api.commit(owner, *entries, request_id="large")
    again = await api.commit(owner, *entries, request_id="large")
    assert (first.committed.sequence, again.committed.sequence) == (1, 1)
    assert (await api.stub.GetTree(pb.GetTreeRequest(owner=owner))).tree.sequence == 1


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
    api: Api, first: list[str], second: str, together: bool
) -> None:
    owner = await api.new_run()
    if not together:
        await api.commit(owner, *map(inline, first))
    before = await api.paths(owner)
    call = api.commit(owner, *map(inline, first * together), inline(second))
    code, reason, _ = await failure(call)
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PATH_CONFLICT")
    assert await api.paths(owner) == before


async def test_a_file_may_stand_where_a_deleted_directory_was(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("a/b/c"))
    await api.stub.DeleteFiles(pb.DeleteFilesRequest(owner=owner, paths=["a"]))
    await api.commit(owner, inline("a"))
    assert await api.paths(owner) == ["a"]


async def test_everything_is_removed_at_once_and_earlier_snapshots_stay(api: Api) -> None:
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


async def test_a_large_commit_is_checked_against_the_tree(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("d"))
    code, reason, _ = await failure(api.commit(owner, *(inline(f"d/{i}") for i in range(2_500))))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PATH_CONFLICT")
    assert await api.paths(owner) == ["d"]


async def test_an_expectation_that_does_not_hold_is_a_conflict(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("t", b"1", expected_absent=True))
    await api.commit(owner, inline("t", b"2", expected_digest=sha(b"1")))
    for entry in (inline("t", b"3", expected_digest=sha(b"1")), inline("t", b"3", expected_absent=True)):
        code, reason, _ = await failure(api.commit(owner, entry))
        assert (code, reason) == (grpc.StatusCode.ABORTED, "CONFLICT")
    assert (await api.read(owner, "t"))[1] == b"2"


async def test_directories_survive_when_empty(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, pb.NewEntry(path="empty/inner", kind=DIRECTORY), inline("run.sh", executable=True))
    listing = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner))
    assert [(e.path, e.kind, e.executable) for e in listing.entries] == [
        ("empty", DIRECTORY, False),
        ("run.sh", FILE, True),
    ]


async def test_a_finalized_model_cannot_be_written(api: Api) -> None:
    owner = await api.new_model()
    await api.commit(owner, inline("MLmodel"))
    await api.models.FinalizeLoggedModel(
        model_service_pb2.FinalizeLoggedModelRequest(
            model_id=owner.model_id, status=model_pb2.LOGGED_MODEL_STATUS_READY
        )
    )
    code, reason, _ = await failure(api.commit(owner, inline("more")))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_FINALIZED")


async def test_a_deleted_run_is_refused_and_a_restored_one_accepted(api: Api) -> None:
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
async def test_a_bad_entry_is_refused_and_nothing_kept(api: Api, entries: list[pb.NewEntry], reason: str) -> None:
    owner = await api.new_run()
    code, found, _ = await failure(api.commit(owner, inline("good"), *entries))
    assert (code, found) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert await api.paths(owner) == []


async def test_blocks_must_make_up_the_size(api: Api) -> None:
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
        pytest.param(
            artifact_pb.TreeOwner(run_id="x"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", id="malformed"
        ),
        pytest.param(artifact_pb.TreeOwner(run_id="0" * 32), grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", id="run"),
        pytest.param(
            artifact_pb.TreeOwner(model_id="m-" + "0" * 32), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", id="model"
        ),
    ],
)
async def test_an_unknown_owner_is_refused(
    api: Api, owner: artifact_pb.TreeOwner, code: grpc.StatusCode, reason: str
) -> None:
    assert (await failure(api.commit(owner, inline("a"))))[:2] == (code, reason)
    assert (await failure(api.stub.ListFiles(pb.ListFilesRequest(owner=owner))))[:2] == (code, reason)


async def test_page_tokens_belong_to_their_query(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, *(inline(f"{i}") for i in range(5)))
    page = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner, page_size=2))
    for token in (page.next_page_token, "forged", "é"):
        request = pb.ListFilesRequest(owner=owner, page_size=2, recursive=True, page_token=token)
        assert (await failure(api.stub.ListFiles(request)))[:2] == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_PAGE_TOKEN",
        )


async def test_a_listing_goes_on_in_its_snapshot(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, *(inline(f"{i}") for i in range(4)))
    page = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner, page_size=2))
    await api.commit(owner, inline("2x"))
    rest = await api.stub.ListFiles(pb.ListFilesRequest(owner=owner, page_size=9, page_token=page.next_page_token))
    assert [e.path for e in page.entries] + [e.path for e in rest.entries] == ["0", "1", "2", "3"]


async def test_a_malformed_block_message_is_an_invalid_argument(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.write([b"\xff\xff\xff"])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_replaced_file_is_not_mixed_into_a_resumed_download(api: Api) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("a", b"1"))
    code, reason, _ = await failure(
        _drain(api.stub.ReadFile(pb.ReadFileRequest(owner=owner, path="a", expected_digest=sha(b"0"))))
    )
    assert (code, reason) == (grpc.StatusCode.ABORTED, "CONFLICT")


async def _drain(call: Any) -> None:
    async for _ in call:
        pass


async def test_a_wrong_size_of_a_known_content_is_refused(api: Api) -> None:
    owner, data = await api.new_run(), b"x" * 100
    await api.commit(owner, inline("a", data))
    entry = pb.NewEntry(path="b", kind=FILE, size=99, block_digests=[sha(data)])
    code, reason, _ = await failure(api.commit(owner, entry))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_MISMATCH")
    assert await api.paths(owner) == ["a"]


async def test_a_large_source_is_described_before_the_transaction_that_registers_it(
    api: Api, app: App, channel: grpc.aio.Channel
) -> None:
    registry = model_registry_service_pb2_grpc.ModelRegistryServiceStub(channel)
    large, small = await api.new_run(), await api.new_run()
    await api.commit(large, *(inline(f"model/{n}") for n in range(STAGE_SIZE + 1)))
    await api.commit(small, inline("model/0"))

    def kept(tx: Any) -> dict[str, int]:
        rows = tx._connection.execute("SELECT owner, file_count FROM commits JOIN trees USING (tree_id)")
        return {row["owner"]: row["file_count"] for row in rows}

    def request(owner: artifact_pb.TreeOwner, **fields: Any) -> registry_pb.CreateModelVersionRequest:
        source = f"runs:/{owner.run_id}/model"
        return registry_pb.CreateModelVersionRequest(name="m", source=source, **fields)

    assert (await failure(registry.CreateModelVersion(request(large))))[1] == "REGISTERED_MODEL_NOT_FOUND"
    assert await app.database.read(kept) == {large.run_id: STAGE_SIZE + 1, small.run_id: None}
    for owner in (large, small):
        made = (await registry.CreateModelVersion(request(owner, create_registered_model=True))).model_version
        tree = (await api.stub.GetTree(pb.GetTreeRequest(owner=owner))).tree
        assert (made.tree.digest, made.tree.file_count) == (tree.digest, tree.file_count)


async def test_the_blocks_of_a_file_come_in_pages_of_one_snapshot(api: Api) -> None:
    owner = await api.new_run()
    blocks = [bytes([number]) * (BLOCK_SIZE if number < 2 else 5) for number in range(3)]
    digests = [sha(block) for block in blocks]
    for block in blocks:
        await api.write([encode_chunk(Chunk(sha(block), len(block), block[i : i + (1 << 20)])) if i == 0
                         else encode_chunk(Chunk(b"", 0, block[i : i + (1 << 20)]))
                         for i in range(0, len(block), 1 << 20)])  # fmt: skip
    size = sum(map(len, blocks))
    entry = pb.NewEntry(path="f", kind=FILE, size=size, block_digests=digests)
    await api.commit(owner, entry, inline("empty", b""))
    request = pb.ListFileBlocksRequest(owner=owner, path="f", page_size=2)
    first = await api.stub.ListFileBlocks(request)
    await api.commit(owner, inline("f", b"replaced"))
    request.page_token = first.next_page_token
    second = await api.stub.ListFileBlocks(request)
    assert [*first.block_digests, *second.block_digests] == digests
    assert (second.next_page_token, second.sequence, second.entry.size) == ("", 1, size)
    assert second.entry.digest == file_digest(digests)
    assert not (await api.stub.ListFileBlocks(pb.ListFileBlocksRequest(owner=owner, path="empty"))).block_digests


async def test_blocks_of_what_is_no_file_and_bad_pages_are_refused(api: Api, refused: Any) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("d/f"))
    listed = api.stub.ListFileBlocks
    await refused(listed(pb.ListFileBlocksRequest(owner=owner, path="d")), "NOT_FOUND", "FILE_NOT_FOUND")
    await refused(listed(pb.ListFileBlocksRequest(owner=owner, path="x")), "NOT_FOUND", "FILE_NOT_FOUND")
    for bad in (
        pb.ListFileBlocksRequest(owner=owner, path="d/f", page_size=-1),
        pb.ListFileBlocksRequest(owner=owner, path="d/f", page_size=65_537),
    ):
        assert (await refused(listed(bad), "INVALID_ARGUMENT", "INVALID_VALUE")).field == "page_size"
    bad = pb.ListFileBlocksRequest(owner=owner, path="d/f", page_token="x")
    await refused(listed(bad), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
