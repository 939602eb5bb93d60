"""Bad input to LiveArtifactService and StorageService, on each store."""

from __future__ import annotations

import hashlib

import pytest
from tests.rpc.bad_input.cases import (
    ALREADY_EXISTS,
    CONFLICT,
    CONTENT_MISMATCH,
    DELETED,
    FILE_NOT_FOUND,
    INVALID_NAME,
    INVALID_PATH,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    LIVE_ARTIFACT_NOT_FOUND,
    MODEL_FINALIZED,
    PATH_CONFLICT,
    RUN_NOT_FOUND,
    WRITER_SUPERSEDED,
    Case,
    bad,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import BLOCK_DIGEST, DELETED_RUN, MODEL_OWNER, NO_RUN, OWNER, RUN, World

L, S = "LiveArtifactService", "StorageService"
OPEN, APPEND, CLOSE, TAIL = (
    f"{L}/OpenLiveArtifact",
    f"{L}/AppendLiveArtifact",
    f"{L}/CloseLiveArtifact",
    f"{L}/TailArtifact",
)
GC, CHECK, USAGE = f"{S}/CollectGarbage", f"{S}/CheckStorage", f"{S}/GetStorageUsage"
BIG = (1 << 63) - 1
DATA = b"a line\n"
DIGEST = hashlib.sha256(DATA).digest()


def opened(what, outcome, field="", **fields):
    return bad(OPEN, what, {"owner": OWNER, "path": "new.log", "mode": 1, **fields}, outcome, field)


def appended(what, outcome, field="", **fields):
    def request(world):
        return {"live_id": world.live_id, "writer": world.writer, "data": DATA, "digest": DIGEST, **fields}

    return bad(APPEND, what, request, outcome, field)


def closed(what, outcome, field="", **fields):
    return bad(CLOSE, what, lambda world: {"live_id": world.live_id, "writer": world.writer, **fields}, outcome, field)


def tailed(what, outcome, field="", **fields):
    return bad(TAIL, what, fields, outcome, field)


def duration(method, field, what, **fields):
    return bad(method, f"{field}-{what}", {field: fields}, INVALID_VALUE, field)


LIVE = [
    opened("owner-absent", INVALID_VALUE, "owner", owner={}),
    opened("run-unknown", RUN_NOT_FOUND, owner={"run_id": NO_RUN}),
    opened("run-deleted", DELETED, owner={"run_id": DELETED_RUN}),
    opened("model-final", MODEL_FINALIZED, owner=MODEL_OWNER),
    opened("path-empty", INVALID_PATH, "path", path=""),
    opened("path-climbing", INVALID_PATH, "path", path="a/../../b"),
    opened("path-with-escape", INVALID_PATH, "path", path="\x1b[2J"),
    opened("path-below-a-file", PATH_CONFLICT, path="small.txt/a"),
    opened("path-below-a-live-one", PATH_CONFLICT, path="logs/live.log/a"),
    opened("path-of-a-directory", PATH_CONFLICT, path="dir"),
    opened("path-equal-after-normalization", PATH_CONFLICT, path="cafe\u0301"),
    opened("mode-absent", INVALID_VALUE, "mode", mode=0),
    opened("mode-unknown", INVALID_VALUE, "mode", mode=4),
    opened("mode-negative", INVALID_VALUE, "mode", mode=-1),
    opened("exclusive-and-there", ALREADY_EXISTS, path="small.txt", mode=3),
    opened("exclusive-and-live", ALREADY_EXISTS, path="logs/live.log", mode=3),
    opened("request-id-too-long", INVALID_NAME, "request_id", request_id="r" * 129),
    appended("id-unknown", LIVE_ARTIFACT_NOT_FOUND, live_id="0" * 32),
    appended("id-empty", LIVE_ARTIFACT_NOT_FOUND, live_id=""),
    appended("id-of-control-characters", LIVE_ARTIFACT_NOT_FOUND, live_id="\x1b\0\u202e"),
    appended("writer-empty", WRITER_SUPERSEDED, writer=""),
    appended("writer-of-a-megabyte", WRITER_SUPERSEDED, writer="w" * (1 << 20)),
    appended("offset-negative", LIMIT_EXCEEDED, "offset", offset=-1),
    appended("offset-after-the-end", INVALID_VALUE, "offset", offset=1),
    appended("offset-largest", LIMIT_EXCEEDED, "offset", offset=BIG),
    appended("digest-absent", CONTENT_MISMATCH, "digest", digest=b""),
    appended("digest-short", CONTENT_MISMATCH, "digest", digest=DIGEST[:31]),
    appended("digest-of-other-data", CONTENT_MISMATCH, "digest", digest=BLOCK_DIGEST),
    appended("data-too-large", LIMIT_EXCEEDED, "data", data=b"x" * ((1 << 20) + 1)),
    closed("id-malformed", LIVE_ARTIFACT_NOT_FOUND, live_id="x"),
    closed("writer-of-another", WRITER_SUPERSEDED, writer="0" * 32),
    closed("size-negative", INVALID_VALUE, "size", size=-1),
    closed("size-largest", INVALID_VALUE, "size", size=BIG),
    bad(f"{L}/GetLiveArtifact", "id-empty", {}, LIVE_ARTIFACT_NOT_FOUND),
    bad(f"{L}/GetLiveArtifact", "id-of-a-run", {"live_id": RUN}, LIVE_ARTIFACT_NOT_FOUND),
    bad(f"{L}/ListLiveArtifacts", "owner-absent", {}, INVALID_VALUE, "owner"),
    bad(f"{L}/ListLiveArtifacts", "run-unknown", {"owner": {"run_id": NO_RUN}}, RUN_NOT_FOUND),
    tailed("nothing-named", INVALID_VALUE, "uri"),
    tailed("uri-empty", INVALID_VALUE, "uri", uri=""),
    tailed("uri-of-a-directory", FILE_NOT_FOUND, uri=f"runs:/{RUN}/dir"),
    tailed("uri-climbing", INVALID_PATH, "uri", uri=f"runs:/{RUN}/../a"),
    tailed("uri-run-unknown", RUN_NOT_FOUND, uri=f"runs:/{NO_RUN}/a"),
    tailed("id-unknown", LIVE_ARTIFACT_NOT_FOUND, live_id="0" * 32),
    tailed("offset-after-the-end", INVALID_VALUE, "offset", uri=f"runs:/{RUN}/small.txt", offset=2),
    tailed("offset-largest", INVALID_VALUE, "offset", uri=f"runs:/{RUN}/small.txt", offset=BIG),
    tailed("digest-of-another-file", CONFLICT, uri=f"runs:/{RUN}/small.txt", expected_digest=BLOCK_DIGEST),
    tailed("digest-short", INVALID_VALUE, "expected_digest", uri=f"runs:/{RUN}/small.txt", expected_digest=b"x"),
    bad(
        TAIL,
        "digest-of-what-is-open",
        lambda world: {"live_id": world.live_id, "expected_digest": BLOCK_DIGEST},
        INVALID_VALUE,
        "expected_digest",
    ),
]
STORAGE = [
    duration(GC, "grace", "negative", seconds=-1),
    duration(GC, "grace", "negative-nanos", nanos=-1),
    duration(GC, "grace", "too-many-nanos", nanos=1_000_000_000),
    duration(GC, "grace", "largest", seconds=BIG),
    duration(GC, "purge_deleted", "negative", seconds=-(1 << 63)),
    duration(GC, "purge_deleted", "over-10000-years", seconds=315_576_000_001),
    duration(CHECK, "grace", "negative", seconds=-5),
    bad(USAGE, "group-unknown", {"group": 4}, INVALID_VALUE, "group"),
    bad(USAGE, "group-negative", {"group": -1}, INVALID_VALUE, "group"),
    bad(USAGE, "limit-negative", {"limit": -1}, INVALID_VALUE, "limit"),
    bad(USAGE, "limit-too-large", {"limit": 1_001}, LIMIT_EXCEEDED, "limit"),
]


@pytest.mark.parametrize("case", [*LIVE, *STORAGE])
def test_bad_input_about_live_artifacts_and_the_store_is_refused(world: World, case: Case) -> None:
    check_refused(world, case)
