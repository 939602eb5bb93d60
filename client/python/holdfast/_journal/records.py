"""The records of a journal, as bytes.

Each is the length of its body, the body's CRC-32 and the body, whose first byte tells the kind; numbers are
little-endian. A record that was being written when its process was killed shows by its length or sum, and with it the
end of the journal.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Any
from zlib import crc32

# A run's stream of points, as one writer sends it; what the points of a series have in common; one point; one call.
STREAM, SERIES, POINT, CALL = 1, 2, 3, 4

HEAD = struct.Struct("<II")
# Kind, number of the series, value, milliseconds since 1970, step.
POINT_BODY = struct.Struct("<BIdqq")
# The same with its head.
POINT_RECORD = struct.Struct("<IIBIdqq")
POINT_SIZE = POINT_RECORD.size


def record(body: bytes) -> bytes:
    """A record of this body."""
    return HEAD.pack(len(body), crc32(body)) + body


def stream_record(number: int, *, run_id: str, writer_id: str, position: int) -> bytes:
    """Says what the stream ``number`` is, and the place in it of the first point that follows."""
    return _described(STREAM, {"number": number, "run": run_id, "writer": writer_id, "position": position})


def series_record(number: int, *, stream: int, key: str, model_id: str, dataset: tuple[str, str]) -> bytes:
    """Says what the series ``number`` is, which belongs to a stream."""
    return _described(
        SERIES, {"number": number, "stream": stream, "key": key, "model": model_id, "dataset": list(dataset)}
    )


def call_record(method: str, request: bytes) -> bytes:
    """A call of the run service that could not be made."""
    name = method.encode()
    return record(bytes((CALL, len(name))) + name + request)


def described(body: bytes) -> dict[str, Any]:
    """What a stream's or a series's record says."""
    fields: dict[str, Any] = json.loads(body[1:])
    return fields


def called(body: bytes) -> tuple[str, bytes]:
    """Method and request of a call's record."""
    start = 2 + body[1]
    return body[2:start].decode(), body[start:]


def bodies(buffer: mmap, start: int, end: int, *, verify: bool) -> Iterator[tuple[int, bytes]]:
    """Yield what lies between two positions: the position after each record, and its body.

    Args:
        buffer: A segment's bytes.
        start: Where a record begins.
        end: Where no record begins any more.
        verify: Whether to compare sums, which is needed only for what another process wrote.
    """
    while start + HEAD.size <= end:
        length, checksum = HEAD.unpack_from(buffer, start)
        start += HEAD.size
        if not length or start + length > end:
            return
        body = buffer[start : start + length]
        if verify and crc32(body) != checksum:
            return
        start += length
        yield start, body


def _described(kind: int, fields: dict[str, Any]) -> bytes:
    return record(bytes((kind,)) + json.dumps(fields, separators=(",", ":")).encode())
