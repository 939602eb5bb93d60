"""The hash of a segment of the audit log. ``docs/audit.md`` specifies it for other languages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

# What the first segment has as the hash of the one before.
NO_HASH = bytes(32)
_PREFIX = b"holdfast-audit-v1\0"


class SealedRecord(Protocol):
    """What a record gives to the hash of its segment. Times are milliseconds since 1970."""

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def time(self) -> int: ...  # noqa: D102
    @property
    def last_time(self) -> int: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102
    @property
    def principal(self) -> str: ...  # noqa: D102
    @property
    def token_id(self) -> str: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def resources(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def request_id(self) -> str: ...  # noqa: D102
    @property
    def details(self) -> str: ...  # noqa: D102


class SegmentHash:
    """SHA-256 over what a segment says of itself, the hash of the one before, and its records in their order.

    Each value is preceded by its length in bytes (4 bytes, big-endian), so that no two lists of values are the same
    bytes; texts are UTF-8, numbers decimal digits.
    """

    def __init__(
        self, previous_hash: bytes, *, segment: int, first_number: int, last_number: int, seal_time: int
    ) -> None:
        self._hash = hashlib.sha256(_PREFIX + previous_hash)
        self._add(segment, first_number, last_number, seal_time)

    def add(self, record: SealedRecord) -> None:
        """Add the next record."""
        self._add(record.number, record.time, record.last_time, record.count, record.principal, record.token_id)
        self._add(record.method, len(record.resources), *record.resources, record.request_id, record.details)

    def digest(self) -> bytes:
        """The hash: 32 bytes."""
        return self._hash.digest()

    def _add(self, *values: int | str) -> None:
        self._hash.update(b"".join(_prefixed(values)))


def _prefixed(values: Iterable[int | str]) -> Iterable[bytes]:
    for value in values:
        data = str(value).encode("utf-8", "surrogatepass")
        yield len(data).to_bytes(4, "big")
        yield data
