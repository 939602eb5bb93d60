"""Bad input to ArtifactService, on each store: paths, digests, sequences of blocks, commits, reads and URIs."""

from __future__ import annotations

import pytest
from tests.rpc.bad_input.cases import (
    CONFLICT,
    CONTENT_MISMATCH,
    DELETED,
    FILE_NOT_FOUND,
    INVALID_NAME,
    INVALID_PATH,
    INVALID_VALUE,
    LIMIT_EXCEEDED,
    MALFORMED_REQUEST,
    MODEL_FINALIZED,
    MODEL_NOT_FOUND,
    MODEL_VERSION_NOT_FOUND,
    PATH_CONFLICT,
    REQUEST_ID_REUSED,
    RUN_NOT_FOUND,
    Case,
    bad,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.world import (
    BLOCK,
    BLOCK_DIGEST,
    DELETED_MODEL,
    DELETED_RUN,
    MODEL,
    MODEL_OWNER,
    NAME,
    NO_MODEL,
    NO_RUN,
    OWNER,
    RUN,
    USED_REQUEST_ID,
    World,
)

A = "ArtifactService"
COMMIT, DELETE, READ, READ_ALL = f"{A}/CommitFiles", f"{A}/DeleteFiles", f"{A}/ReadFile", f"{A}/ReadFiles"
LIST, TREE, BLOCKS, WRITE = f"{A}/ListFiles", f"{A}/GetTree", f"{A}/ListFileBlocks", f"{A}/WriteBlocks"
RESOLVE, MISSING = f"{A}/ResolveArtifact", f"{A}/FindMissingBlocks"
BIG, BLOCK_SIZE = (1 << 63) - 1, 8 << 20
HEADER = {"header": {"owner": OWNER}}


def sent(*entries, header=HEADER, count=None):
    """The messages of a commit."""
    end = {"end": {"entry_count": len(entries) if count is None else count}}
    return [header, {"entries": {"entries": entries}}, end]


def entry(what, outcome, field="", **fields):
    """A commit of a good file and a bad one; nothing of either may stay."""
    bad_one = {"kind": 1, **fields}
    return bad(COMMIT, what, sent({"path": "good", "kind": 1, "size": 1, "inline_data": b"s"}, bad_one), outcome, field)


def path(what, text, outcome=INVALID_PATH, field="path"):
    return entry(f"path-{what}", outcome, field, path=text, size=1, inline_data=b"x")


def stream(what, messages, outcome, field=""):
    return bad(COMMIT, what, messages, outcome, field)


def written(what, messages, outcome=INVALID_VALUE):
    return bad(WRITE, what, messages, outcome)


def uri(what, text, outcome, field=""):
    return bad(RESOLVE, f"uri-{what}", {"uri": text}, outcome, field)


PATHS = [
    path("empty", ""),
    path("absolute", "/etc/passwd"),
    path("climbing", "a/../../b"),
    path("dot", "./a"),
    path("empty-component", "a//b"),
    path("trailing-slash", "a/"),
    path("backslash", "a\\..\\b"),
    path("drive", "C:a"),
    path("scheme", "file:/a"),
    path("encoded-dot", "a/%2E%2e/b"),
    path("encoded-slash", "a%2fb"),
    path("nul", "a\0.txt"),
    path("newline", "a\nb"),
    path("delete", "a\x7fb"),
    path("c1", "a\x85b"),
    path("reversed", "a\u202egpj.exe"),
    path("isolate", "a\u2067b"),
    path("left-to-right-mark", "a\u200e"),
    path("arabic-letter-mark", "\u061ca"),
    path("three-dots", "a/.../b"),
    path("stream-of-a-file", "a:b"),
    path("fullwidth-slash", "a\uff0fb"),
    path("fullwidth-dots", "\uff0e\uff0e/b"),
    path("ends-with-dot", "a./b"),
    path("begins-with-space", "a/ b"),
    path("ends-with-space", "a "),
    path("too-deep", "/".join("a" * 33)),
    path("component-too-long", "n" * 256),
    path("component-too-many-bytes", "\u65e5" * 86),
    path("too-long", "/".join(["n" * 200] * 6)),
    path("of-a-megabyte", "n" * (1 << 20)),
    path("below-a-file", "small.txt/a", PATH_CONFLICT, ""),
    path("in-the-place-of-a-directory", "dir", PATH_CONFLICT, ""),
    path("equal-after-normalization", "cafe\u0301", PATH_CONFLICT, ""),
    path("twice", "good"),
    stream(
        "path-twice-but-for-normalization",
        sent(*({"path": name, "kind": 2} for name in ("\u00e9t", "e\u0301t"))),
        PATH_CONFLICT,
    ),
    bad(DELETE, "paths-none", {"owner": OWNER}, INVALID_VALUE, "paths"),
    bad(DELETE, "paths-too-many", {"owner": OWNER, "paths": ["a"] * 1_001}, LIMIT_EXCEEDED, "paths"),
    bad(DELETE, "path-climbing", {"owner": OWNER, "paths": ["small.txt", "../a"]}, INVALID_PATH, "paths"),
    bad(DELETE, "path-empty-among-others", {"owner": OWNER, "paths": ["small.txt", ""]}, INVALID_PATH, "paths"),
    bad(DELETE, "path-not-there", {"owner": OWNER, "paths": ["small.txt", "nothing"]}, FILE_NOT_FOUND),
    bad(READ, "path-empty", {"owner": OWNER}, FILE_NOT_FOUND),
    bad(READ, "path-climbing", {"owner": OWNER, "path": "../small.txt"}, INVALID_PATH, "path"),
    bad(READ, "path-of-a-directory", {"owner": OWNER, "path": "dir"}, FILE_NOT_FOUND),
    bad(READ, "path-of-another-case", {"owner": OWNER, "path": "SMALL.TXT"}, FILE_NOT_FOUND),
    bad(READ_ALL, "path-not-there", {"owner": OWNER, "path": "nothing"}, FILE_NOT_FOUND),
    bad(READ_ALL, "path-with-nul", {"owner": OWNER, "path": "\0"}, INVALID_PATH, "path"),
    bad(LIST, "path-absolute", {"owner": OWNER, "path": "/"}, INVALID_PATH, "path"),
    bad(LIST, "path-not-there", {"owner": OWNER, "path": "nothing"}, FILE_NOT_FOUND),
    bad(BLOCKS, "path-of-a-directory", {"owner": OWNER, "path": "dir"}, FILE_NOT_FOUND),
]
OWNERS = [
    bad(TREE, "owner-absent", {}, INVALID_VALUE, "owner"),
    bad(TREE, "owner-empty", {"owner": {}}, INVALID_VALUE, "owner"),
    bad(TREE, "run-malformed", {"owner": {"run_id": "../" + RUN}}, RUN_NOT_FOUND),
    bad(TREE, "run-that-is-a-model", {"owner": {"run_id": MODEL}}, RUN_NOT_FOUND),
    # Of two kinds of owner the last counts.
    bad(
        TREE,
        "run-and-model",
        b"\x0a\x22\x0a\x20" + RUN.encode() + b"\x0a\x24\x12\x22" + NO_MODEL.encode(),
        MODEL_NOT_FOUND,
    ),
    bad(TREE, "model-unknown", {"owner": {"model_id": NO_MODEL}}, MODEL_NOT_FOUND),
    bad(TREE, "snapshot-negative", {"owner": OWNER, "sequence": -1}, FILE_NOT_FOUND),
    bad(TREE, "snapshot-to-come", {"owner": OWNER, "sequence": BIG}, FILE_NOT_FOUND),
    bad(LIST, "snapshot-least", {"owner": OWNER, "sequence": -(1 << 63)}, FILE_NOT_FOUND),
    bad(READ, "snapshot-to-come", {"owner": OWNER, "path": "small.txt", "sequence": BIG}, FILE_NOT_FOUND),
    stream("owner-absent", sent(header={"header": {}}), INVALID_VALUE, "owner"),
    stream("run-unknown", sent(header={"header": {"owner": {"run_id": NO_RUN}}}), RUN_NOT_FOUND),
    stream("run-deleted", sent(header={"header": {"owner": {"run_id": DELETED_RUN}}}), DELETED),
    stream("model-final", sent(header={"header": {"owner": MODEL_OWNER}}), MODEL_FINALIZED),
    stream("model-deleted", sent(header={"header": {"owner": {"model_id": DELETED_MODEL}}}), DELETED),
    bad(DELETE, "model-final", {"owner": MODEL_OWNER, "paths": [""]}, MODEL_FINALIZED),
    bad(DELETE, "run-unknown", {"owner": {"run_id": NO_RUN}, "paths": [""]}, RUN_NOT_FOUND),
]
ENTRIES = [
    entry("kind-absent", INVALID_VALUE, "entries.kind", path="a", kind=0),
    entry("kind-unknown", INVALID_VALUE, "entries.kind", path="a", kind=3),
    entry("size-negative", CONTENT_MISMATCH, path="a", size=-1),
    entry("size-largest", CONTENT_MISMATCH, path="a", size=BIG),
    entry("size-least", CONTENT_MISMATCH, path="a", size=-(1 << 63)),
    entry("size-of-another-block", CONTENT_MISMATCH, path="a", size=len(BLOCK) - 1, block_digests=[BLOCK_DIGEST]),
    entry("size-without-blocks", CONTENT_MISMATCH, path="a", size=1),
    entry("blocks-without-size", CONTENT_MISMATCH, path="a", block_digests=[BLOCK_DIGEST]),
    entry("blocks-too-many", CONTENT_MISMATCH, path="a", size=BLOCK_SIZE, block_digests=[BLOCK_DIGEST] * 2),
    entry(
        "block-not-full-in-the-middle",
        CONTENT_MISMATCH,
        path="a",
        size=BLOCK_SIZE + len(BLOCK),
        block_digests=[BLOCK_DIGEST] * 2,
    ),
    entry("digest-short", CONTENT_MISMATCH, path="a", size=1, block_digests=[b"x" * 31]),
    entry("digest-long", CONTENT_MISMATCH, path="a", size=1, block_digests=[b"x" * 33]),
    entry("digest-empty", CONTENT_MISMATCH, path="a", size=1, block_digests=[b""]),
    entry("digest-in-hex", CONTENT_MISMATCH, path="a", size=1, block_digests=[BLOCK_DIGEST.hex().encode()]),
    entry("file-digest-of-another-file", CONTENT_MISMATCH, path="a", size=1, inline_data=b"x", digest=BLOCK_DIGEST),
    entry("file-digest-short", CONTENT_MISMATCH, path="a", size=1, inline_data=b"x", digest=b"x"),
    entry(
        "inline-and-blocks",
        INVALID_VALUE,
        "entries.inline_data",
        path="a",
        size=1,
        inline_data=b"x",
        block_digests=[BLOCK_DIGEST],
    ),
    entry("inline-shorter-than-told", INVALID_VALUE, "entries.inline_data", path="a", size=2, inline_data=b"x"),
    entry("inline-too-large", LIMIT_EXCEEDED, "entries.inline_data", path="a", size=65_537, inline_data=b"x" * 65_537),
    entry("directory-with-a-size", CONTENT_MISMATCH, path="a", kind=2, size=1),
    entry("directory-with-a-digest", CONTENT_MISMATCH, path="a", kind=2, digest=BLOCK_DIGEST),
    entry("directory-with-content", INVALID_VALUE, "entries.inline_data", path="a", kind=2, inline_data=b""),
    entry("directory-executable", CONTENT_MISMATCH, path="a", kind=2, executable=True),
    entry(
        "expected-digest-short",
        INVALID_VALUE,
        "entries.expected_digest",
        path="a",
        size=1,
        inline_data=b"x",
        expected_digest=b"x",
    ),
    entry(
        "expected-digest-empty",
        INVALID_VALUE,
        "entries.expected_digest",
        path="a",
        size=1,
        inline_data=b"x",
        expected_digest=b"",
    ),
    entry(
        "expected-absent-false",
        INVALID_VALUE,
        "entries.expected_absent",
        path="a",
        size=1,
        inline_data=b"x",
        expected_absent=False,
    ),
    entry("expects-another-file", CONFLICT, path="small.txt", size=1, inline_data=b"x", expected_digest=BLOCK_DIGEST),
    entry("expects-nothing-there", CONFLICT, path="small.txt", size=1, inline_data=b"x", expected_absent=True),
]
COMMITS = [
    stream("no-messages", [], INVALID_VALUE, "header"),
    stream("without-header", sent(header={}), INVALID_VALUE, "header"),
    stream("begins-with-entries", [{"entries": {}}, HEADER], INVALID_VALUE, "header"),
    stream("header-twice", [HEADER, HEADER, {"end": {}}], INVALID_VALUE, "entries"),
    stream("empty-message", [HEADER, {}, {"end": {}}], INVALID_VALUE, "entries"),
    stream("without-end", [HEADER, {"entries": {"entries": [{"path": "a", "kind": 2}]}}], INVALID_VALUE, "end"),
    stream("end-too-soon", sent({"path": "a", "kind": 2}, {"path": "b", "kind": 2}, count=1), INVALID_VALUE, "end"),
    stream("end-negative", sent({"path": "a", "kind": 2}, count=-1), INVALID_VALUE, "end"),
    stream("end-largest", sent({"path": "a", "kind": 2}, count=BIG), INVALID_VALUE, "end"),
    stream("after-the-end", [*sent(), {"entries": {"entries": [{"path": "a", "kind": 2}]}}], INVALID_VALUE, "end"),
    stream("end-twice", [*sent(), {"end": {}}], INVALID_VALUE, "end"),
    stream(
        "more-blocks-of-nothing",
        [HEADER, {"more_blocks": {"block_digests": [BLOCK_DIGEST]}}],
        INVALID_VALUE,
        "more_blocks",
    ),
    stream(
        "more-blocks-than-the-size-has",
        [
            HEADER,
            {"entries": {"entries": [{"path": "a", "kind": 1, "size": 1}]}},
            {"more_blocks": {"block_digests": [BLOCK_DIGEST] * 2}},
            {"end": {"entry_count": 1}},
        ],
        CONTENT_MISMATCH,
        "more_blocks",
    ),
    stream("entries-too-many", sent(*[{"path": f"d{i}", "kind": 2} for i in range(10_001)]), LIMIT_EXCEEDED, "entries"),
    stream(
        "request-id-with-space",
        sent(header={"header": {"owner": OWNER, "request_id": "a b"}}),
        INVALID_NAME,
        "request_id",
    ),
    stream(
        "request-id-of-another-call",
        sent({"path": "a", "kind": 2}, header={"header": {"owner": OWNER, "request_id": USED_REQUEST_ID}}),
        REQUEST_ID_REUSED,
        "request_id",
    ),
    stream("cut-message", [HEADER, b"\x12\x7f\x0a"], MALFORMED_REQUEST),
]
WRITES = [
    written("empty-message", [{}]),
    written("blocks-and-chunk", [{"blocks": [{"digest": BLOCK_DIGEST, "data": BLOCK}], "chunk": {"data": b"x"}}]),
    written("chunk-without-a-beginning", [{"chunk": {"data": b"x"}}]),
    written("chunk-without-data", [{"chunk": {"digest": BLOCK_DIGEST, "size": 1}}]),
    written("chunk-digest-short", [{"chunk": {"digest": b"x", "size": 1, "data": b"x"}}]),
    written("block-digest-empty", [{"blocks": [{"data": b"x"}]}]),
    written("block-digest-in-hex", [{"blocks": [{"digest": BLOCK_DIGEST.hex().encode(), "data": BLOCK}]}]),
    written(
        "blocks-among-chunks",
        [
            {"chunk": {"digest": BLOCK_DIGEST, "size": 9, "data": b"x"}},
            {"blocks": [{"digest": BLOCK_DIGEST, "data": BLOCK}]},
        ],
    ),
    written("cut-message", [b"\x12\x7f\x0a"], MALFORMED_REQUEST),
    bad(MISSING, "digest-short", {"digests": [BLOCK_DIGEST, b"x"]}, INVALID_VALUE, "digests"),
    bad(MISSING, "digest-in-hex", {"digests": [BLOCK_DIGEST.hex().encode()]}, INVALID_VALUE, "digests"),
    bad(MISSING, "digests-too-many", {"digests": [BLOCK_DIGEST] * 16_385}, LIMIT_EXCEEDED, "digests"),
]
READS = [
    bad(READ, "offset-negative", {"owner": OWNER, "path": "small.txt", "offset": -1}, INVALID_VALUE, "offset"),
    bad(READ, "offset-after-the-end", {"owner": OWNER, "path": "small.txt", "offset": 2}, INVALID_VALUE, "offset"),
    bad(READ, "offset-largest", {"owner": OWNER, "path": "small.txt", "offset": BIG}, INVALID_VALUE, "offset"),
    bad(READ, "limit-negative", {"owner": OWNER, "path": "small.txt", "limit": -1}, INVALID_VALUE, "limit"),
    bad(
        READ, "digest-of-another-file", {"owner": OWNER, "path": "small.txt", "expected_digest": BLOCK_DIGEST}, CONFLICT
    ),
    bad(
        READ,
        "digest-short",
        {"owner": OWNER, "path": "small.txt", "expected_digest": b"x"},
        INVALID_VALUE,
        "expected_digest",
    ),
    bad(READ_ALL, "data-size-negative", {"owner": OWNER, "max_data_size": -1}, INVALID_VALUE, "max_data_size"),
    bad(READ_ALL, "start-after-what-is-no-path", {"owner": OWNER, "start_after": "../a"}, INVALID_PATH, "start_after"),
]
URIS = [
    uri("empty", "", INVALID_VALUE, "uri"),
    uri("scheme-unknown", "ftp://host/a", INVALID_VALUE, "uri"),
    uri("scheme-in-upper-case", f"RUNS:/{RUN}", INVALID_VALUE, "uri"),
    uri("scheme-alone", "runs:/", INVALID_VALUE, "uri"),
    uri("only-slashes", "models:////", INVALID_VALUE, "uri"),
    uri("control-characters", "\x1b[2J\0", INVALID_VALUE, "uri"),
    uri("too-long", f"runs:/{RUN}/" + "a" * 2_048, LIMIT_EXCEEDED, "uri"),
    uri("run-unknown", f"runs:/{NO_RUN}/a", RUN_NOT_FOUND),
    uri("run-of-megabytes", "runs:/" + "\u202e" * 2_000, RUN_NOT_FOUND),
    uri("run-climbing", f"runs:/{RUN}/../{NO_RUN}/a", INVALID_PATH, "uri"),
    uri("run-file-not-there", f"runs:/{RUN}/nothing", FILE_NOT_FOUND),
    uri("run-file-still-open", f"runs:/{RUN}/logs/live.log", FILE_NOT_FOUND),
    uri("model-deleted", f"models:/{DELETED_MODEL}", MODEL_NOT_FOUND),
    uri("model-path-with-backslash", f"models:/{MODEL}/a\\b", INVALID_PATH, "uri"),
    uri("version-missing", f"models:/{NAME}", INVALID_VALUE, "uri"),
    uri("version-zero", f"models:/{NAME}/0", MODEL_VERSION_NOT_FOUND),
    uri("version-negative", f"models:/{NAME}/-1", INVALID_VALUE, "uri"),
    uri("version-not-decimal", f"models:/{NAME}/0x1", INVALID_VALUE, "uri"),
    uri("version-unknown", f"models:/{NAME}/99/a", MODEL_VERSION_NOT_FOUND),
    uri("alias-unknown", f"models:/{NAME}@nobody", MODEL_VERSION_NOT_FOUND),
    uri("alias-empty", f"models:/{NAME}@", MODEL_VERSION_NOT_FOUND),
    uri("alias-twice", f"models:/{NAME}@champion@champion", MODEL_VERSION_NOT_FOUND),
    uri("name-with-statement", "models:/' OR 1=1 --/1", MODEL_VERSION_NOT_FOUND),
]


@pytest.mark.parametrize("case", [*PATHS, *OWNERS, *ENTRIES, *COMMITS, *WRITES, *READS, *URIS])
def test_bad_input_about_artifacts_is_refused(world: World, case: Case) -> None:
    check_refused(world, case)
