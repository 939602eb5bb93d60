"""Requests of every method: messages made from their descriptors, and what is left of them when bytes are changed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from tests.rpc.bad_input.world import (
    ALIAS,
    BLOCK,
    BLOCK_DIGEST,
    DELETED_MODEL,
    DELETED_RUN,
    MODEL,
    NAME,
    NO_RUN,
    PENDING_MODEL,
    RUN,
)

from holdfast_server.rpc.registration import SERVICES

PACKAGE = "holdfast.v1"
MAX_DEPTH = 4
TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "a",
            "A",
            "latest",
            "v1",
            "..",
            "a/b",
            "../a",
            "a\0b",
            "\n",
            "\x1b[2J",
            "\u00e9",
            "e\u0301",
            "\u65e5",
        ),
        *("\U0001f600", "\u202e", "\uff0f", "%", "%2e", "\\", "'", "`", '"', ";", "0", "1", "-1", "9" * 20, "ok"),
        *("x" * 251, "x" * 9_000, "mlflow.runName", RUN, DELETED_RUN, NO_RUN, MODEL, PENDING_MODEL, DELETED_MODEL),
        *("metrics.m < 1", "params.p = 'x'", "tags.t IS NULL", "status = 'RUNNING'", "name LIKE '%'", "name ASC"),
        *("start_time", "metrics.m DESC", "run_id IN ('a')", "AAAA", f"runs:/{RUN}/dir", "models:/name/1", "dir/file"),
    ]
)
INT32 = st.sampled_from([0, 1, 2, 3, 4, 5, 100, 1_000, 1_001, -1, (1 << 31) - 1, -(1 << 31)]) | st.integers(
    -(1 << 31), (1 << 31) - 1
)
INT64 = (
    INT32 | st.sampled_from([(1 << 63) - 1, -(1 << 63), 1 << 40, -(1 << 40)]) | st.integers(-(1 << 63), (1 << 63) - 1)
)
BYTES = st.sampled_from([b"", b"x", bytes(32), BLOCK_DIGEST, BLOCK, BLOCK_DIGEST[:31]]) | st.binary(max_size=40)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: TEXTS | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_INT64: INT64,
    FieldDescriptor.TYPE_INT32: INT32,
    FieldDescriptor.TYPE_UINT32: st.sampled_from([0, 1, 2, 1_000, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1),
}
# Values that are right are likely, so that calls get past the first checks.
RIGHT: dict[str, list[Any]] = {
    "run_id": [RUN],
    "run_ids": [RUN],
    "source_run_id": [RUN],
    "model_id": [MODEL, PENDING_MODEL],
    "experiment_id": ["0", "1"],
    "experiment_ids": ["0"],
    "name": [NAME, "second"],
    "version": [1, 2],
    "alias": [ALIAS],
    "path": ["dir/file", "small.txt", "dir", ""],
    "paths": ["small.txt"],
    "source": [f"models:/{MODEL}"],
    "uri": [f"runs:/{RUN}/small.txt", f"models:/{NAME}/1", f"models:/{NAME}@{ALIAS}"],
    "key": ["m", "k", "p"],
    "filter": ["", "tags.t = 'v'", "name LIKE 'n%'", "attributes.status = 'RUNNING'"],
    "order_by": ["tags.t DESC", "name"],
    "page_size": [0, 1, 100],
    "page_token": [""],
    "cursor": [""],
    "resume_token": [""],
    "request_id": [""],
    "seconds": [0, 1_700_000_000, 3_600],
    "nanos": [0, 999_999_999],
    "digest": [BLOCK_DIGEST],
    "expected_digest": [b""],
    "follow": [False],
    "kind": [1, 2],
    "mode": [1, 2, 3],
}
# Most calls have none, so that these do not stand in the way of what the messages find.
METADATA: st.SearchStrategy[tuple[tuple[str, str | bytes], ...]] = st.just(()) | st.lists(
    st.tuples(
        st.sampled_from(["authorization", "x-holdfast-request-id", "x-odd", "traceparent", "cookie"]),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80),
    )
    | st.tuples(st.sampled_from(["x-odd-bin", "grpc-trace-bin", "grpc-tags-bin"]), st.binary(max_size=60)),
    max_size=4,
).map(tuple)


def methods() -> Iterator[MethodDescriptor]:
    """Every method that a server offers, but gRPC's own."""
    for service in sorted(SERVICES):
        if service.startswith(PACKAGE):
            yield from descriptor_pool.Default().FindServiceByName(service).methods


def requests(method: MethodDescriptor) -> st.SearchStrategy[list[bytes]]:
    """The serialized messages of a call, of which a stream has some: well-formed, damaged, or mere bytes."""
    message = messages_of(method.input_type).map(lambda found: found.SerializeToString())
    one = message | message.flatmap(damaged) | st.binary(max_size=60)
    return st.lists(one, max_size=6) if method.client_streaming else st.lists(one, min_size=1, max_size=1)


@functools.cache
def messages_of(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Any]:
    """Messages of a kind, with some of their fields set to what is right or odd."""
    fields = {
        field.name: _values(field, depth) for field in descriptor.fields if depth < MAX_DEPTH or not field.message_type
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: GetMessageClass(descriptor)(**values))


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return st.dictionaries(_one(key, depth), _one(value, depth), max_size=3)
    one = _one(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages_of(field.message_type, depth + 1)
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, 77, -3])
    odd = SCALARS[field.type]
    if field.name not in RIGHT or field.type == FieldDescriptor.TYPE_DOUBLE:
        return odd
    zero = _zero(field)
    right = st.sampled_from([value for value in RIGHT[field.name] if isinstance(value, type(zero))] or [zero])
    return right | right | right | odd


def _zero(field: FieldDescriptor) -> Any:
    return {FieldDescriptor.TYPE_STRING: "", FieldDescriptor.TYPE_BYTES: b"", FieldDescriptor.TYPE_BOOL: False}.get(
        field.type, 0
    )


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with a few changed, added or left out."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(changed)))
        changed[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(changed)
