"""ArtifactService over a real socket."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
import pytest
from tests.rpc.artifact_api import FILE, ArtifactApi, chunked, failure, inline, sha

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE, file_digest
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import model_registry_service_pb2 as registry_pb
from holdfast.v1 import (
    model_registry_service_pb2_grpc,
)
from holdfast_server.app import App
from holdfast_server.services.commits import STAGE_SIZE


async def test_a_small_file_is_one_commit(api: ArtifactApi) -> None:
    owner = await api.new_run()
    response = await api.commit(owner, inline("a/b.txt", b"hello"), digest=True)
    assert response.committed.sequence == 1
    assert response.committed.file_count == 1
    assert response.committed.total_size == 5
    assert await api.paths(owner) == ["a", "a/b.txt"]
    header, data = await api.read(owner, "a/b.txt")
    assert (header.entry.digest, data) == (sha(b"hello"), b"hello")


async def test_a_file_of_several_blocks_comes_back_whole(api: ArtifactApi) -> None:
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


async def test_a_range_is_widened_to_whole_blocks(api: ArtifactApi) -> None:
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


async def test_the_empty_file_has_no_blocks(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, pb.NewEntry(path="empty", kind=FILE), inline("empty2", b""))
    header, data = await api.read(owner, "empty")
    assert (data, header.entry.digest) == (b"", sha(b""))


async def test_a_commit_that_names_missing_blocks_answers_them_and_changes_nothing(api: ArtifactApi) -> None:
    owner = await api.new_run()
    lost = sha(secrets.token_bytes(8))
    response = await api.commit(owner, inline("a"), pb.NewEntry(path="b", kind=FILE, size=5, block_digests=[lost]))
    assert list(response.missing.digests) == [lost]
    assert await api.paths(owner) == []


async def test_blocks_that_are_there_are_not_missing(api: ArtifactApi) -> None:
    data = secrets.token_bytes(100)
    request = pb.FindMissingBlocksRequest(digests=[sha(data), sha(b"other" + data)])
    await api.write([pb.WriteBlocksRequest(blocks=[artifact_pb.Block(digest=sha(data), data=data)])])
    assert list((await api.stub.FindMissingBlocks(request)).missing_digests) == [sha(b"other" + data)]


async def test_bad_blocks_are_answered_and_the_good_ones_kept(api: ArtifactApi) -> None:
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


async def test_a_malformed_block_message_is_an_invalid_argument(api: ArtifactApi) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.write([b"\xff\xff\xff"])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_replaced_file_is_not_mixed_into_a_resumed_download(api: ArtifactApi) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("a", b"1"))
    code, reason, _ = await failure(
        _drain(api.stub.ReadFile(pb.ReadFileRequest(owner=owner, path="a", expected_digest=sha(b"0"))))
    )
    assert (code, reason) == (grpc.StatusCode.ABORTED, "CONFLICT")


async def _drain(call: Any) -> None:
    async for _ in call:
        pass


async def test_a_wrong_size_of_a_known_content_is_refused(api: ArtifactApi) -> None:
    owner, data = await api.new_run(), b"x" * 100
    await api.commit(owner, inline("a", data))
    entry = pb.NewEntry(path="b", kind=FILE, size=99, block_digests=[sha(data)])
    code, reason, _ = await failure(api.commit(owner, entry))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_MISMATCH")
    assert await api.paths(owner) == ["a"]


async def test_a_large_source_is_described_before_the_transaction_that_registers_it(
    api: ArtifactApi, app: App, channel: grpc.aio.Channel
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


async def test_the_blocks_of_a_file_come_in_pages_of_one_snapshot(api: ArtifactApi) -> None:
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


async def test_blocks_of_what_is_no_file_and_bad_pages_are_refused(api: ArtifactApi, refused: Any) -> None:
    owner = await api.new_run()
    await api.commit(owner, inline("d/f"))
    listed = api.stub.ListFileBlocks
    await refused(listed(pb.ListFileBlocksRequest(owner=owner, path="d")), "NOT_FOUND", "FILE_NOT_FOUND")
    await refused(listed(pb.ListFileBlocksRequest(owner=owner, path="x")), "NOT_FOUND", "FILE_NOT_FOUND")
    bad = pb.ListFileBlocksRequest(owner=owner, path="d/f", page_token="x")
    await refused(listed(bad), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
