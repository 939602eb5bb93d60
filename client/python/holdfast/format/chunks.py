"""Hand-made coding of the messages that carry bulk data: WriteBlocksRequest and ReadFileResponse.

They are ordinary protobuf on the wire, and both have ``BlockChunk chunk = 2``, so one coding serves them. It saves the
copies that a generated message makes of every megabyte; any shape that is valid but unusual is left to the generated
parser.
"""

from __future__ import annotations

from dataclasses import dataclass

# Tags: field number << 3 | wire type.
_CHUNK, _DIGEST, _SIZE, _DATA = 0x12, 0x0A, 0x10, 0x1A
_DIGEST_SIZE = 32
_MAX_SHIFT = 63


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a block; ``digest`` and ``size`` come with the first one, and are empty and 0 on the others."""

    digest: bytes
    size: int
    data: bytes | memoryview


def encode_chunk(chunk: Chunk) -> bytes:
    """Serialize a message that holds a chunk; copies its data once."""
    head = bytes((_DATA,)) + _varint(len(chunk.data))
    if chunk.digest:
        head = bytes((_DIGEST, _DIGEST_SIZE)) + chunk.digest + bytes((_SIZE,)) + _varint(chunk.size) + head
    return b"".join((bytes((_CHUNK,)), _varint(len(head) + len(chunk.data)), head, chunk.data))


def decode_chunk(raw: bytes) -> Chunk | None:
    """Parse a message that holds a chunk, without copying its data; None when it does not look like that."""
    if not raw or raw[0] != _CHUNK:
        return None
    try:
        length, at = _read_varint(raw, 1)
        if at + length != len(raw):
            return None
        digest, size = b"", 0
        if raw[at] == _DIGEST and raw[at + 1] == _DIGEST_SIZE:
            at += 2
            digest, at = raw[at : at + _DIGEST_SIZE], at + _DIGEST_SIZE
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
        if shift > _MAX_SHIFT:  # no number of 64 bits goes on, and adding to a larger one takes ever longer
            raise IndexError("a varint has at most 10 bytes")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
