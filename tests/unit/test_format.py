"""The format that client and server share: digests, paths, chunks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.format import paths
from holdfast.format.chunks import Chunk, decode_chunk, encode_chunk
from holdfast.format.digests import BLOCK_SIZE, block_count, block_length, file_digest
from holdfast.format.paths import ancestors, broken_name_rule, broken_rule, nfc
from holdfast.v1 import artifact_pb2, artifact_service_pb2

GOOD_PATHS = [
    "a",
    "a/b.txt",
    "model/MLmodel",
    "ünïcode/файл",
    "a b/c d",
    "..a",
    "a..b",
    "x" * 255,
    "a/" * 31 + "b",
    "100%",
    "%2",
    "日本",
]

BAD_PATHS = [
    pytest.param("", "empty", id="empty"),
    pytest.param("/a", "relative", id="absolute"),
    pytest.param("a//b", "empty component", id="empty-component"),
    pytest.param("a/", "empty component", id="trailing-slash"),
    pytest.param("a/./b", "'.'", id="dot"),
    pytest.param("../a", "'..'", id="dot-dot"),
    pytest.param("a\\b", "backslash", id="backslash"),
    pytest.param("C:x", "drive letter", id="drive"),
    pytest.param("s3://bucket/x", "URI", id="scheme"),
    pytest.param("runs:/x", "URI", id="own-scheme"),
    pytest.param("a%2fb", "%2f", id="encoded-slash"),
    pytest.param("%2E%2e/x", "%2e", id="encoded-dots"),
    pytest.param("a%5Cb", "%5c", id="encoded-backslash"),
    pytest.param("a\0b", "control", id="nul"),
    pytest.param("a\nb", "control", id="newline"),
    pytest.param("a\x85b", "control", id="c1-control"),
    pytest.param("a\u202eb", "direction", id="bidi"),
    pytest.param("\uff0e\uff0e/x", "look-alikes", id="fullwidth-dot"),
    pytest.param("a\uff0fb", "look-alikes", id="fullwidth-slash"),
    pytest.param(" a", "begin with a space", id="leading-space"),
    pytest.param("a ", "end with a space", id="trailing-space"),
    pytest.param("a./b", "end with a space or a dot", id="trailing-dot"),
    pytest.param("é" * 128, "longer than 255", id="long-component"),
    pytest.param("/".join(["x" * 200] * 6), "longer than 1024", id="long"),
    pytest.param("a/" * 32 + "b", "more than 32", id="deep"),
    pytest.param("\ud800", "UTF-8", id="surrogate"),
]


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_usual_paths_are_accepted(path: str) -> None:
    assert broken_rule(path) == ""


@pytest.mark.parametrize(("path", "rule"), BAD_PATHS)
def test_a_bad_path_is_refused_by_its_rule(path: str, rule: str) -> None:
    assert rule in broken_rule(path)


def test_a_name_is_one_component() -> None:
    assert broken_name_rule("model") == ""
    assert "'/'" in broken_name_rule("a/b")


def test_ancestors_are_outermost_first() -> None:
    assert ancestors("a/b/c.txt") == ["a", "a/b"]
    assert ancestors("c.txt") == []


def test_normalization_joins_decomposed_letters() -> None:
    assert nfc("e\u0301") == "\u00e9"


def test_digest_of_a_file_of_one_block_is_its_sha256() -> None:
    block = hashlib.sha256(b"hello").digest()
    assert file_digest([block]) == block


def test_digest_of_the_empty_file_is_that_of_the_empty_string() -> None:
    assert file_digest([]) == hashlib.sha256(b"").digest()


def test_digest_of_several_blocks_has_a_prefix() -> None:
    digests = [hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()]
    assert file_digest(digests) == hashlib.sha256(b"holdfast-blocks-v1\0" + b"".join(digests)).digest()


def test_all_blocks_but_the_last_are_full() -> None:
    size = 2 * BLOCK_SIZE + 5
    assert block_count(size) == 3
    assert [block_length(size, i) for i in range(3)] == [BLOCK_SIZE, BLOCK_SIZE, 5]
    assert block_count(BLOCK_SIZE) == 1
    assert block_count(0) == 0


@given(
    digest=st.sampled_from([b"", bytes(range(32))]),
    size=st.integers(1, 8 << 20),
    data=st.binary(min_size=1, max_size=300),
)
def test_a_chunk_is_the_same_on_the_wire_as_protobufs(digest: bytes, size: int, data: bytes) -> None:
    chunk = Chunk(digest, size if digest else 0, data)
    raw = encode_chunk(chunk)
    message = artifact_service_pb2.WriteBlocksRequest.FromString(raw)
    assert message.chunk == artifact_pb2.BlockChunk(digest=chunk.digest, size=chunk.size, data=chunk.data)
    assert artifact_service_pb2.ReadFileResponse(chunk=message.chunk).SerializeToString() == raw
    decoded = decode_chunk(message.SerializeToString())
    assert decoded is not None
    assert (decoded.digest, decoded.size, bytes(decoded.data)) == (chunk.digest, chunk.size, chunk.data)


@given(st.binary(max_size=64))
def test_decoding_anything_gives_a_chunk_or_none(raw: bytes) -> None:
    chunk = decode_chunk(raw)
    assert chunk is None or isinstance(chunk, Chunk)


@given(st.text(alphabet="aZ9_-+=@,() ./%:\\~\u00e9", max_size=40))
def test_the_short_check_of_plain_paths_passes_nothing_that_the_rules_refuse(path: str) -> None:
    if paths._PLAIN.fullmatch(path):
        assert not any(breaks(path) for breaks, _ in paths._RULES)
        assert not any(map(paths._broken_component_rule, path.split("/")))


def test_a_number_that_does_not_end_is_no_chunk() -> None:
    # Read to its end it would take minutes: each byte is added to an ever longer number.
    assert decode_chunk(b"\x12" + b"\xff" * (4 << 20)) is None
