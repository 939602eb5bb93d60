"""What is sent for a token and is none, or none that counts, to a server that asks who calls."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.rpc.bad_input.cases import (
    TOKEN_EXPIRED,
    TOKEN_MALFORMED,
    TOKEN_MISSING,
    TOKEN_REVOKED,
    TOKEN_UNKNOWN,
    TOO_LARGE,
    UNAUTHENTICATED,
    Case,
    Outcome,
)
from tests.rpc.bad_input.refusing import check_refused
from tests.rpc.bad_input.test_connections import BEGUN, headers, message
from tests.rpc.bad_input.world import RUN, World

from holdfast.v1 import run_service_pb2
from holdfast_server.domain.access import Secret

# As good as one can be that no server made.
FORGED = Secret.make(bytes(range(32))).text
BATCH = run_service_pb2.LogBatchRequest(run_id=RUN, metrics=[{"key": "authorization"}])
Metadata = tuple[tuple[str, str | bytes], ...]


def bearer(text: str, scheme: str = "Bearer") -> Metadata:
    return (("authorization", f"{scheme} {text}"),)


def secret(name: str, change: Callable[[str], str] = str) -> Callable[[World], Metadata]:
    """The token of this name of the world, changed."""
    return lambda world: bearer(change(world.secrets[name][1]))


def _other(sign: str) -> str:
    return "A" if sign != "A" else "B"


CASES: dict[str, tuple[Metadata | Callable[[World], Metadata], Outcome]] = {
    "none": ((), TOKEN_MISSING),
    "of-another-key": ((("x-authorization", f"Bearer {FORGED}"),), TOKEN_MISSING),
    "binary": ((("authorization-bin", f"Bearer {FORGED}".encode()),), TOKEN_MISSING),
    "cookie": ((("cookie", f"authorization=Bearer {FORGED}"),), TOKEN_MISSING),
    "empty": ((("authorization", ""),), TOKEN_MALFORMED),
    "scheme-alone": ((("authorization", "Bearer"),), TOKEN_MALFORMED),
    "scheme-and-spaces": ((("authorization", "Bearer     "),), TOKEN_MALFORMED),
    "basic": (lambda world: bearer(world.secrets["good"][1], "Basic"), TOKEN_MALFORMED),
    "digest": (lambda world: bearer(world.secrets["good"][1], "Digest"), TOKEN_MALFORMED),
    "scheme-of-a-look-alike": (lambda world: bearer(world.secrets["good"][1], "Bearer:"), TOKEN_MALFORMED),
    "no-scheme": (lambda world: (("authorization", world.secrets["good"][1]),), TOKEN_MALFORMED),
    "scheme-behind": (lambda world: (("authorization", f"{world.secrets['good'][1]} Bearer"),), TOKEN_MALFORMED),
    "scheme-twice": (secret("good", "Bearer {}".format), TOKEN_MALFORMED),
    "in-quotes": (secret("good", '"{}"'.format), TOKEN_MALFORMED),
    "two-in-one": (secret("good", lambda text: f"{text}, Bearer {text}"), TOKEN_MALFORMED),
    "cut-off": (secret("good", lambda text: text[:-1]), TOKEN_MALFORMED),
    "one-more": (secret("good", "{}0".format), TOKEN_MALFORMED),
    "checksum-broken": (secret("good", lambda text: text[:-1] + _other(text[-1])), TOKEN_MALFORMED),
    "mistyped": (secret("good", lambda text: text[:9] + _other(text[9]) + text[10:]), TOKEN_MALFORMED),
    "in-capitals": (secret("good", str.upper), TOKEN_MALFORMED),
    "other-prefix": (secret("good", lambda text: text.replace("hft_", "ghp_")), TOKEN_MALFORMED),
    "id-for-a-token": (lambda world: bearer(world.secrets["good"][0]), TOKEN_MALFORMED),
    "json-web-token": (bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJvd25lciJ9."), TOKEN_MALFORMED),
    "statement": (bearer("' OR '1'='1"), TOKEN_MALFORMED),
    "of-the-owner": (bearer("owner"), TOKEN_MALFORMED),
    "of-four-thousand-characters": (bearer("hft_" + "0" * 4_000), TOKEN_MALFORMED),
    "of-a-hundred-thousand-characters": (bearer("hft_" + "0" * 100_000), TOO_LARGE),
    "forged": (bearer(FORGED), TOKEN_UNKNOWN),
    "forged-with-lower-case-scheme": (bearer(FORGED, "bearer"), TOKEN_UNKNOWN),
    "forged-after-spaces": (bearer(f"   {FORGED}"), TOKEN_UNKNOWN),
    "revoked": (secret("revoked"), TOKEN_REVOKED),
    "expired": (secret("expired"), TOKEN_EXPIRED),
    "good-twice": (lambda world: bearer(world.secrets["good"][1]) * 2, UNAUTHENTICATED),
    "good-and-forged": (lambda world: bearer(world.secrets["good"][1]) + bearer(FORGED), UNAUTHENTICATED),
    "forged-and-good": (lambda world: bearer(FORGED) + bearer(world.secrets["good"][1]), UNAUTHENTICATED),
    "good-and-basic": (lambda world: bearer(world.secrets["good"][1]) + bearer("YTpi", "Basic"), UNAUTHENTICATED),
    "good-fifty-times": (lambda world: bearer(world.secrets["good"][1]) * 50, UNAUTHENTICATED),
}
# One that answers once and one that takes a stream; one that only tells who calls, and a message that cannot be read.
CALLS = {
    "unary": ("RunService/LogBatch", BATCH.SerializeToString()),
    "stream": ("ArtifactService/CommitFiles", [b""]),
    "watch": ("RunService/WatchRun", {"run_id": RUN}),
    "caller": ("AccessService/GetCaller", {}),
    "garbled": ("RunService/LogBatch", b"\xff\xff"),
}


@pytest.fixture(scope="module")
def stranger(guarded_world: World) -> Iterator[World]:
    """The guarded world as those have it who come to its port."""
    with grpc.insecure_channel(guarded_world.server.address) as channel:
        yield dataclasses.replace(guarded_world, channel=channel)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(("metadata", "outcome"), CASES.values(), ids=CASES.keys())
def test_whoever_shows_no_token_that_counts_is_refused(
    guarded_world: World, stranger: World, metadata: Any, outcome: Outcome, call: tuple[str, Any]
) -> None:
    sent = metadata(guarded_world) if callable(metadata) else metadata
    check_refused(guarded_world, Case(*call, outcome, metadata=sent), caller=stranger)


# What no library sends: values that are not ASCII, and such as would end a line of a log.
RAW = {
    "latin-1": f"Bearer {FORGED[:-1]}\xe9",
    "utf-8": "Bearer " + "h\u00e4ft".encode().decode("latin-1"),
    "with-nul": f"Bearer {FORGED}\0",
    "with-newline": f"Bearer {FORGED}\r\nx: y",
    "with-escape": "Bearer \x1b[2J",
    "not-utf-8": "\xff\xfe\xfd",
}


@pytest.mark.parametrize("value", RAW.values(), ids=RAW.keys())
def test_an_authorization_that_is_not_ascii_is_refused(guarded_world: World, value: str) -> None:
    before, complaints = guarded_world.contents(), guarded_world.complaints()
    host, _, port = guarded_world.server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(BEGUN + headers(authorization=value) + message(BATCH.SerializeToString()))
        answer = b""
        while b"grpc-status" not in answer:
            came = connection.recv(1 << 16)
            assert came, answer
            answer += came
    assert b"grpc-status\x0216" in answer
    assert FORGED[:-1].encode() not in answer
    assert guarded_world.contents() == before
    assert guarded_world.complaints() == complaints, guarded_world.server.lines
    assert not any(FORGED[:-1] in line for line in guarded_world.server.lines)
    guarded_world.check_works()
