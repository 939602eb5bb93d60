"""Bytes on a connection that no gRPC library would send: the server ends what is broken, keeps nothing and goes on."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import zlib

import pytest
from tests.rpc.bad_input.world import RUN, World

from holdfast.v1 import run_service_pb2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PROMISE, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
BATCH = run_service_pb2.LogBatchRequest(run_id=RUN, metrics=[{"key": "connection"}])


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0, length: int | None = None) -> bytes:
    """A frame of HTTP/2; ``length`` is what it claims to have, when that is not the truth."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def headers(*, method: str = "LogBatch", stream: int = 1, flags: int = END_HEADERS, **changed: str) -> bytes:
    """The beginning of a call; each header in full, none from a table. ``changed`` names them with ``_`` for ``-``."""
    pairs = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/holdfast.v1.RunService/{method}",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return frame(HEADERS, b"".join(literal(*pair) for pair in pairs.items()), flags=flags, stream=stream)


def literal(name: str, value: str) -> bytes:
    """A header in full, of fewer than 127 bytes each."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode("latin-1")


def message(payload: bytes, *, compressed: int = 0, length: int | None = None, stream: int = 1) -> bytes:
    """A message of gRPC in a frame of its own, the last of its call."""
    size = len(payload) if length is None else length
    return frame(DATA, bytes((compressed,)) + struct.pack(">I", size) + payload, flags=END_STREAM, stream=stream)


BEGUN = PREFACE + frame(SETTINGS)
GOOD = BATCH.SerializeToString()
CASES = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\0" * 10_000, id="zeros"),
    pytest.param(bytes(range(256)) * 64, id="all-bytes"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="http-1"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="tls-greeting"),
    pytest.param(PREFACE[:10], id="preface-cut"),
    pytest.param(PREFACE + b"\xff" * 9, id="frame-of-an-unknown-kind"),
    pytest.param(PREFACE + frame(SETTINGS, length=(1 << 24) - 1), id="frame-longer-than-allowed"),
    pytest.param(PREFACE + frame(SETTINGS, b"\0" * 5), id="settings-of-five-bytes"),
    pytest.param(BEGUN + frame(SETTINGS, struct.pack(">HI", 4, 1 << 31)), id="window-too-large"),
    pytest.param(BEGUN + frame(WINDOW, struct.pack(">I", 0)), id="window-by-zero"),
    pytest.param(BEGUN + frame(DATA, b"x", stream=1), id="data-of-no-stream"),
    pytest.param(BEGUN + frame(HEADERS, b"\xff" * 100, flags=END_HEADERS, stream=1), id="headers-garbled"),
    pytest.param(BEGUN + frame(HEADERS, b"\xbf", flags=END_HEADERS, stream=1), id="headers-of-a-table-that-is-empty"),
    pytest.param(BEGUN + headers(stream=2) + message(GOOD, stream=2), id="stream-of-even-number"),
    pytest.param(BEGUN + headers(stream=0) + message(GOOD, stream=0), id="stream-zero"),
    pytest.param(BEGUN + headers(flags=0) + message(GOOD), id="headers-without-end"),
    pytest.param(BEGUN + headers(), id="call-without-a-message"),
    pytest.param(BEGUN + headers(flags=END_HEADERS | END_STREAM), id="call-that-ends-without-a-message"),
    pytest.param(BEGUN + headers() + message(GOOD, length=(1 << 32) - 1), id="message-of-four-gibibytes"),
    pytest.param(BEGUN + headers() + message(GOOD, length=len(GOOD) + 1), id="message-cut"),
    pytest.param(BEGUN + headers() + message(GOOD, length=len(GOOD) - 1), id="message-with-a-rest"),
    pytest.param(BEGUN + headers() + message(GOOD, compressed=7), id="message-with-unknown-flag"),
    pytest.param(BEGUN + headers() + message(GOOD, compressed=1), id="message-compressed-by-nothing"),
    pytest.param(BEGUN + headers(grpc_encoding="gzip") + message(GOOD, compressed=1), id="message-that-is-no-gzip"),
    pytest.param(BEGUN + headers(grpc_encoding="rot13") + message(GOOD, compressed=1), id="encoding-unknown"),
    pytest.param(BEGUN + headers(grpc_timeout="0n") + message(GOOD[:-1]), id="deadline-over-when-it-comes"),
    pytest.param(BEGUN + headers(grpc_timeout="-1S") + message(GOOD[:-1]), id="deadline-negative"),
    pytest.param(BEGUN + headers(content_type="text/html") + message(GOOD[:-1]), id="content-of-another-type"),
    pytest.param(BEGUN + headers(x_a="\r\n\0") + message(GOOD[:-1]), id="header-with-line-breaks"),
    pytest.param(BEGUN + frame(PING, bytes(8)) * 5_000, id="flood-of-pings"),
    pytest.param(BEGUN + frame(SETTINGS) * 5_000, id="flood-of-settings"),
    pytest.param(
        BEGUN + b"".join(headers(stream=n) + frame(RESET, bytes(4), stream=n) for n in range(1, 6_001, 2)),
        id="flood-of-calls-that-are-reset",
    ),
    pytest.param(BEGUN + headers(stream=1) + frame(GOAWAY, bytes(8)) + message(GOOD[:-1]), id="goes-away"),
    pytest.param(BEGUN + frame(GOAWAY, bytes(8) + b"\x1b[2J" * 20) * 5_000, id="flood-of-goodbyes"),
    pytest.param(BEGUN + frame(RESET, bytes(4)), id="reset-of-stream-zero"),
    pytest.param(BEGUN + frame(PROMISE, bytes((0, 0, 0, 2)), flags=END_HEADERS, stream=1), id="promise-by-a-client"),
    pytest.param(BEGUN + frame(PRIORITY, bytes((0, 0, 0, 1, 0)), stream=1) * 5_000, id="stream-that-waits-for-itself"),
    pytest.param(BEGUN + frame(SETTINGS, struct.pack(">HI", 5, 0)), id="frames-of-no-size"),
    pytest.param(
        BEGUN + headers(flags=0) + frame(CONTINUATION, literal("x-a", "a" * 100), stream=1) * 20_000,
        id="headers-that-go-on-and-on",
    ),
    pytest.param(
        BEGUN + headers(flags=0) + frame(CONTINUATION, stream=1) * 50_000, id="headers-that-go-on-with-nothing"
    ),
    pytest.param(
        BEGUN + frame(HEADERS, b"\x40\x01x\x7e" + b"b" * 126 + b"\xbe" * 16_000, flags=END_HEADERS, stream=1),
        id="header-repeated-from-the-table",
    ),
    pytest.param(
        BEGUN + frame(HEADERS, b"\x3f" + b"\xff" * 20, flags=END_HEADERS, stream=1), id="table-larger-than-any-number"
    ),
    pytest.param(BEGUN + headers(x_upper="a").replace(b"x-upper", b"X-UPPER") + message(GOOD), id="header-in-capitals"),
    pytest.param(BEGUN + headers().replace(b":path", b":pest") + message(GOOD), id="call-of-no-path"),
    pytest.param(BEGUN + headers(**{":method": "GET"}) + message(GOOD), id="method-get"),
    pytest.param(BEGUN + headers(**{":method": "CONNECT"}) + message(GOOD), id="method-connect"),
    pytest.param(BEGUN + headers(grpc_timeout="1X") + message(GOOD), id="deadline-in-no-unit"),
    pytest.param(BEGUN + headers(grpc_timeout="9" * 100 + "H") + message(GOOD[:-1]), id="deadline-of-a-hundred-digits"),
    pytest.param(BEGUN + headers(x_odd_bin="!!!") + message(GOOD), id="binary-header-that-is-no-base64"),
    pytest.param(
        BEGUN + headers(x_holdfast_request_id="a\nERROR: Traceback") + message(GOOD[:-1]), id="request-id-of-two-lines"
    ),
    pytest.param(BEGUN + headers(user_agent="\x1b[2J\xff" * 20) + message(GOOD[:-1]), id="agent-that-steers-terminals"),
    pytest.param(
        BEGUN + headers() + frame(DATA, b"\xff" + b"x" * 10, flags=PADDED | END_STREAM, stream=1),
        id="padding-longer-than-its-frame",
    ),
    pytest.param(BEGUN + headers() + frame(DATA, stream=1) * 50_000, id="flood-of-empty-frames"),
    pytest.param(
        BEGUN + headers() + frame(WINDOW, struct.pack(">I", (1 << 31) - 1), stream=1) * 2, id="window-over-its-most"
    ),
    pytest.param(
        BEGUN + headers(grpc_encoding="gzip") + message(gzip.compress(GOOD)[:-9], compressed=1), id="gzip-cut"
    ),
    pytest.param(
        BEGUN + headers(grpc_encoding="gzip") + message(gzip.compress(GOOD) * 2, compressed=1), id="gzip-twice-in-a-row"
    ),
    pytest.param(
        BEGUN + headers(grpc_encoding="gzip, gzip") + message(gzip.compress(gzip.compress(GOOD)), compressed=1),
        id="gzip-within-gzip",
    ),
    pytest.param(
        BEGUN + headers(grpc_encoding="deflate") + message(zlib.compress(bytes(15 << 20)), compressed=1),
        id="deflated-to-fifteen-mebibytes",
    ),
]


@pytest.mark.parametrize("sent", CASES)
def test_bytes_that_no_library_sends_do_nothing(local_world: World, sent: bytes) -> None:
    before, complaints = local_world.contents(), local_world.complaints()
    host, _, port = local_world.server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        with contextlib.suppress(OSError):  # it may have had enough before the end
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while connection.recv(1 << 16):  # until the server, too, has ended the connection
                pass
    local_world.until_answered()
    local_world.check_works()
    assert local_world.complaints() == complaints, local_world.server.lines
    assert local_world.contents() == before
