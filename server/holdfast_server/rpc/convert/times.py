"""Timestamps as milliseconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast_server.domain.names import shown
from holdfast_server.errors import InvalidArgument

# 0001-01-01 to 9999-12-31, which is what a Timestamp may hold.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799


def ms_to_proto(ms: int) -> Timestamp:
    """A moment as a message."""
    seconds, rest = divmod(ms, 1_000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def write_ms(message: Timestamp, ms: int) -> None:
    """Fill a moment where it stays, which spares a copy."""
    message.seconds, rest = divmod(ms, 1_000)
    message.nanos = rest * 1_000_000


def ms_from_proto(timestamp: Timestamp, *, field: str, of: str = "") -> int:
    """A moment, rounded down to milliseconds.

    Args:
        timestamp: The message.
        field: Where it is.
        of: What has it, if the request has many such.

    Raises:
        InvalidArgument: It is not a valid Timestamp.
    """
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if not (_MIN_SECONDS <= seconds <= _MAX_SECONDS and 0 <= nanos < 1_000_000_000):
        field_of = f"{field} of {shown(of)}" if of else field
        raise InvalidArgument(
            f"{field_of} is not a valid timestamp: seconds lie in the years 1 to 9999, nanos between 0 and "
            "999,999,999.",
            field=field,
        )
    return seconds * 1_000 + nanos // 1_000_000


def check_ms(ms: Sequence[int], *, field: str) -> Sequence[int]:
    """Moments that came as milliseconds.

    Raises:
        InvalidArgument: One is not in the years 1 to 9999.
    """
    first, end = _MIN_SECONDS * 1_000, (_MAX_SECONDS + 1) * 1_000
    if ms and not (min(ms) >= first and max(ms) < end):
        at, wrong = next((at, one) for at, one in enumerate(ms) if not first <= one < end)
        raise InvalidArgument(
            f"{field}[{at}] is {wrong}; {field} holds milliseconds since 1970 in the years 1 to 9999.", field=field
        )
    return ms


def optional_ms_from_proto(message: Message, field: str) -> int | None:
    """The moment in a message's field; None when it is absent."""
    return ms_from_proto(getattr(message, field), field=field) if message.HasField(field) else None
