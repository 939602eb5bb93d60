"""Hand-made coding of the two messages that carry bulk data.

They are ordinary protobuf on the wire; this only saves the copies that a generated message makes of every megabyte. Any
shape that is valid but unusual falls back to the generated parser.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from holdfast.v1 import artifact_service_pb2 as service_pb
from holdfast_server.errors import InvalidArgument, Reason

# Tags: field number << 3 | wire type. Both messages have `BlockChunk chunk = 2`.
_CHUNK = 0x12
_DIGEST = 0x0A
_SIZE = 0x10
_DATA = 0x1A
_DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a block; ``digest`` and ``size`` come with the first one, and are empty and 0 on the others."""

    digest: bytes
    size: int
    data: bytes | memoryview


def decode_write_request(raw: bytes) -> Chunk | service_pb.WriteBlocksRequest:
    """Parse a WriteBlocksRequest: a chunk without copying its data, or the whole message.

    Raises:
        InvalidArgument: MALFORMED_REQUEST.
    """
    if raw and raw[0] == _CHUNK:
        chunk = _decode_chunk(raw)
        if chunk is not None:
            return chunk
    try:
        message = service_pb.WriteBlocksRequest.FromString(raw)
    except DecodeError as error:
        raise InvalidArgument("The message is not a WriteBlocksRequest.", reason=Reason.MALFORMED_REQUEST) from error
    if message.HasField("chunk") and not message.blocks:
        return Chunk(message.chunk.digest, message.chunk.size, message.chunk.data)
    return message


def encode_read_chunk(chunk: Chunk) -> bytes:
    """Serialize a ReadFileResponse that holds a chunk."""
    head = b""
    if chunk.digest:
        head = bytes((_DIGEST, _DIGEST_SIZE)) + chunk.digest + bytes((_SIZE,)) + _varint(chunk.size)
    head += bytes((_DATA,)) + _varint(len(chunk.data))
    return b"".join((bytes((_CHUNK,)), _varint(len(head) + len(chunk.data)), head, chunk.data))


def _decode_chunk(raw: bytes) -> Chunk | None:
    """The chunk that fills ``raw`` with its fields in order, or None when it does not look like that."""
    try:
        length, at = _read_varint(raw, 1)
        if at + length != len(raw):
            return None
        digest, size = b"", 0
        if raw[at] == _DIGEST and raw[at + 1] == _DIGEST_SIZE:
            digest, at = raw[at + 2 : at + 2 + _DIGEST_SIZE], at + 2 + _DIGEST_SIZE
        if raw[at] == _SIZE:
            size, at = _read_varint(raw, at + 1)
        if raw[at] != _DATA:
            return None
        length, at = _read_varint(raw, at + 1)
    except IndexError:
        return None
    return Chunk(digest, size, memoryview(raw)[at:]) if at + length == len(raw) else None


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
