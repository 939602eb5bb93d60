"""What is wrong before a method looks at it: malformed messages, unknown methods, metadata, deadlines, floods."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from tests.rpc.bad_input.cases import (
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    MALFORMED_REQUEST,
    PACKAGE,
    TOO_LARGE,
    UNIMPLEMENTED,
    Case,
    Outcome,
    bad,
)
from tests.rpc.bad_input.conftest import world_on
from tests.rpc.bad_input.refusing import check_refused, described, send
from tests.rpc.bad_input.world import BLOCK, BLOCK_DIGEST, OWNER, RUN, WAIT, World

from holdfast_server.rpc.registration import SERVICES
from holdfast_server.storage.blocks.local import LocalObjectStore

GET, LOG, WRITE, COMMIT = (
    "RunService/GetRun",
    "RunService/LogBatch",
    "ArtifactService/WriteBlocks",
    "ArtifactService/CommitFiles",
)
DEADLINE, IDLE = Outcome("DEADLINE_EXCEEDED"), Outcome("DEADLINE_EXCEEDED", "IDLE")
HEADER = {"header": {"owner": OWNER}}
# A field that no request has, of the given bytes.
FILLER = b"\xfa\x3e"


def methods() -> Iterator[MethodDescriptor]:
    for service in sorted(SERVICES):
        if service.startswith(PACKAGE):
            yield from descriptor_pool.Default().FindServiceByName(service).methods


def short(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}/{method.name}"


def text_fields(method: MethodDescriptor) -> list[FieldDescriptor]:
    return [field for field in method.input_type.fields if field.type == FieldDescriptor.TYPE_STRING]


CUT = [bad(short(method), "cut", b"\x0a\x7f", MALFORMED_REQUEST) for method in methods()]
NOT_UTF8 = [
    bad(short(method), f"{field.name}-not-utf8", bytes([field.number << 3 | 2]) + b"\x02a\xff", MALFORMED_REQUEST)
    for method in methods()
    for field in text_fields(method)[:1]
]
MALFORMED = [
    bad(GET, "surrogate", b"\x0a\x03\xed\xa0\x80", MALFORMED_REQUEST),
    bad(GET, "overlong-nul", b"\x0a\x02\xc0\x80", MALFORMED_REQUEST),
    bad(GET, "field-zero", b"\x00\x00", MALFORMED_REQUEST),
    bad(GET, "wire-type-six", b"\x0e", MALFORMED_REQUEST),
    bad(GET, "varint-without-end", b"\x08" + b"\xff" * 11, MALFORMED_REQUEST),
    bad(GET, "length-of-two-to-the-63", b"\x0a" + b"\xff" * 9 + b"\x01", MALFORMED_REQUEST),
    bad(GET, "group-without-end", b"\x0b", MALFORMED_REQUEST),
    bad(GET, "end-without-group", b"\x0c", MALFORMED_REQUEST),
    bad(GET, "nested-a-hundred-thousand-times", b"\x0b" * 100_000, MALFORMED_REQUEST),
    bad(LOG, "metric-cut", b"\x12\x05\x0a\x7fabc", MALFORMED_REQUEST),
    bad(LOG, "packed-doubles-cut", b"\x4a\x05\x1a\x03abc", MALFORMED_REQUEST),
    bad(LOG, "key-not-utf8-within", b"\x12\x04\x0a\x02\xff\xff", MALFORMED_REQUEST),
]
UNKNOWN = [
    bad(f"/{path}", f"path-{what}", b"", UNIMPLEMENTED)
    for what, path in (
        ("empty", ""),
        ("of-slashes", "//"),
        ("without-method", f"{PACKAGE}.RunService/"),
        ("without-package", "RunService/GetRun"),
        ("of-another-version", "holdfast.v2.RunService/GetRun"),
        ("of-another-case", f"{PACKAGE}.RunService/getRun"),
        ("unknown-method", f"{PACKAGE}.RunService/DropAll"),
        ("unknown-service", f"{PACKAGE}.AdminService/GetSecrets"),
        ("climbing", "../../etc/passwd"),
        ("reflection-when-off", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
        ("very-long", "a/" * 3_000),
    )
]
SIZES = [
    bad(GET, "message-over-four-mebibytes", FILLER + b"\x80\x80\x80\x03" + bytes(6 << 20), TOO_LARGE),
    bad(COMMIT, "message-over-four-mebibytes", [HEADER, FILLER + b"\x80\x80\x80\x03" + bytes(6 << 20)], TOO_LARGE),
    bad(GET, "metadata-over-its-limit", {"run_id": RUN}, TOO_LARGE, metadata=(("x-a", "a" * 17_000),)),
    bad(GET, "metadata-binary-over-its-limit", {"run_id": RUN}, TOO_LARGE, metadata=(("x-a-bin", bytes(17_000)),)),
    bad(
        GET,
        "metadata-many-over-its-limit",
        {"run_id": RUN},
        TOO_LARGE,
        metadata=tuple((f"x-{i}", "a" * 100) for i in range(200)),
    ),
]
# Millions of empty items in one message, which is counted before each of them is looked at.
MANY = [
    bad("RunService/CreateRun", "tags-by-the-million", b"\x2a\0" * 2_000_000, LIMIT_EXCEEDED, "tags"),
    bad("ModelService/CreateLoggedModel", "params-by-the-million", b"\x2a\0" * 2_000_000, LIMIT_EXCEEDED, "params"),
    bad("RunService/SearchRuns", "experiments-by-the-million", b"\x0a\0" * 2_000_000, LIMIT_EXCEEDED, "experiment_ids"),
    bad(
        "ModelRegistryService/PromoteModelVersion",
        "aliases-by-the-million",
        b"\x1a\0" * 2_000_000,
        LIMIT_EXCEEDED,
        "aliases",
    ),
    bad(
        "ArtifactService/FindMissingBlocks", "digests-by-the-million", b"\x0a\0" * 2_000_000, LIMIT_EXCEEDED, "digests"
    ),
]
FLOODS = [
    bad(WRITE, "flood-of-empty-messages", [b""] * 10_000, INVALID_VALUE),
    bad(COMMIT, "flood-of-empty-messages", [b""] * 10_000, INVALID_VALUE, "header"),
    bad(COMMIT, "flood-of-empty-parts", [HEADER, *[b""] * 5_000], INVALID_VALUE, "entries"),
    bad(COMMIT, "flood-of-empty-entries-without-end", [HEADER, *[{"entries": {}}] * 5_000], INVALID_VALUE, "end"),
    bad(COMMIT, "flood-of-headers", [HEADER] * 5_000, INVALID_VALUE, "entries"),
]


@pytest.mark.parametrize("case", [*CUT, *NOT_UTF8, *MALFORMED, *UNKNOWN, *SIZES, *MANY, *FLOODS])
def test_what_no_method_can_read_is_refused(any_world: World, case: Case) -> None:
    check_refused(any_world, case)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
@pytest.mark.parametrize("method", [GET, "RunService/WatchRun", COMMIT, WRITE])
def test_a_message_that_decompresses_to_too_much_is_refused_unopened(
    any_world: World, method: str, compression: grpc.Compression
) -> None:
    """A few kilobytes on the wire must not become what the server has memory for, nor lines in its log."""
    before, complaints = any_world.contents(), any_world.complaints()
    call = any_world.channel.stream_stream(f"/{PACKAGE}.{method}", request_serializer=None, response_deserializer=None)
    bomb = FILLER + b"\x80\x80\x80\x20" + bytes(64 << 20)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([bomb]), timeout=WAIT, compression=compression))
    assert (caught.value.code().name, *described(caught.value)) == (TOO_LARGE.code, "", "")
    any_world.check_works()
    assert any_world.complaints() == complaints, any_world.server.lines
    assert any_world.contents() == before


@pytest.mark.parametrize("milliseconds", [0.01, 0.5, 1, 2, 4, 8, 16])
def test_a_call_whose_deadline_passes_happens_whole_or_not_at_all(local_world: World, milliseconds: float) -> None:
    """Whenever it passes, the same request again ends in one batch with all that was in it."""
    batch = {"run_id": RUN, "metrics": [{"key": "deadline"}] * 100, "request_id": f"deadline-{milliseconds}"}
    case = Case(LOG, batch, DEADLINE)
    call = local_world.channel.unary_unary(case.path, request_serializer=None, response_deserializer=None)
    before = len(local_world.contents()["metric_points"])
    code = call.future(case.messages(local_world)[0], timeout=milliseconds / 1_000).code()
    assert code.name in {"OK", DEADLINE.code}
    send(local_world, case)
    assert len(local_world.contents()["metric_points"]) == before + 100
    local_world.check_works()


@pytest.fixture(scope="module")
def impatient_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Its streams end when nothing moves for two seconds."""
    data_dir: Path = tmp_path_factory.mktemp("impatient") / "data"
    with world_on(data_dir, LocalObjectStore(data_dir / "store"), "--idle-timeout", "2") as world:
        yield world


STALLED = [
    pytest.param(GET, [], id="GetRun-before-its-message"),
    pytest.param("RunService/WatchRun", [], id="WatchRun-before-its-message"),
    pytest.param(WRITE, [], id="WriteBlocks-before-all"),
    pytest.param(WRITE, [{"chunk": {"digest": BLOCK_DIGEST, "size": len(BLOCK), "data": b"x"}}], id="WriteBlocks-amid"),
    pytest.param(COMMIT, [], id="CommitFiles-before-all"),
    pytest.param(COMMIT, [HEADER], id="CommitFiles-after-header"),
    pytest.param(COMMIT, [HEADER, {"entries": {"entries": [{"path": "a", "kind": 2}]}}], id="CommitFiles-before-end"),
]


@pytest.mark.parametrize(("method", "messages"), STALLED)
def test_a_stream_that_stands_still_is_ended_and_nothing_is_kept(
    impatient_world: World, method: str, messages: list[dict[str, object]]
) -> None:
    before, over = impatient_world.contents(), threading.Event()
    serialized = Case(method, messages, IDLE).messages(impatient_world)

    def stalling() -> Iterator[bytes]:
        yield from serialized
        over.wait(WAIT)

    kind = "stream_unary" if method in {GET, COMMIT} else "stream_stream"
    call = getattr(impatient_world.channel, kind)(
        f"/{PACKAGE}.{method}", request_serializer=None, response_deserializer=None
    )
    try:
        with pytest.raises(grpc.RpcError) as caught:
            list(call(stalling(), timeout=WAIT))
    finally:
        over.set()
    assert (caught.value.code().name, described(caught.value)[0]) == IDLE
    after = impatient_world.contents()
    assert after == before
    impatient_world.check_works()


@pytest.mark.parametrize(
    "path",
    [f"/{PACKAGE}.{GET}", f"/{PACKAGE}.{LOG}", f"/{PACKAGE}.RunService/WatchRun", "/grpc.health.v1.Health/Check"],
)
def test_a_call_that_ends_without_its_message_is_answered(local_world: World, path: str) -> None:
    """gRPC itself would leave the caller waiting for ever."""
    call = local_world.channel.stream_stream(path, request_serializer=None, response_deserializer=None)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([]), timeout=WAIT))
    assert (caught.value.code().name, described(caught.value)[0]) == MALFORMED_REQUEST
    local_world.check_works()


def test_metadata_that_means_nothing_changes_nothing(local_world: World) -> None:
    """A server that asks nobody who they are takes no notice of credentials, however odd; `authorization` twice is
    refused where it does ask."""
    odd = (
        ("authorization", "Bearer a"),
        ("authorization", "Basic b"),
        ("x-request-id", "\x20"),
        ("grpc-tags-bin", b"\0"),
    )
    assert send(local_world, Case(GET, {"run_id": RUN}, INVALID_VALUE, metadata=odd))
    local_world.check_works()
