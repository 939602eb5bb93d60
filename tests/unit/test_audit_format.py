"""The hash of a segment is what docs/audit.md says, computed here without the code that makes it."""

from __future__ import annotations

import hashlib
import struct

from holdfast.entities import AuditRecord
from holdfast.format.audit import NO_HASH, SegmentHash

RECORD = AuditRecord(
    number=7,
    time=1_700_000_000_000,
    last_time=1_700_000_000_500,
    count=3,
    principal="ada",
    token_id="00112233445566ff",
    method="holdfast.v1.RunService/LogBatch",
    resources=("run/a", "experiment/1"),
    request_id="r-1",
    details='{"ü":1}',
)


def by_the_page(*values: object) -> bytes:
    encoded = [str(value).encode() for value in values]
    return b"".join(struct.pack(">I", len(data)) + data for data in encoded)


def test_a_segment_is_hashed_as_the_page_says():
    hashed = SegmentHash(NO_HASH, segment=2, first_number=7, last_number=7, seal_time=1_700_000_000_900)
    hashed.add(RECORD)
    head = by_the_page(2, 7, 7, 1_700_000_000_900)
    record = by_the_page(
        7, 1_700_000_000_000, 1_700_000_000_500, 3, "ada", "00112233445566ff", "holdfast.v1.RunService/LogBatch",
        2, "run/a", "experiment/1", "r-1", '{"ü":1}',
    )  # fmt: skip
    assert hashed.digest() == hashlib.sha256(b"holdfast-audit-v1\0" + bytes(32) + head + record).digest()


def test_values_that_are_cut_elsewhere_have_another_hash():
    digests = set()
    for resources in (("a", "b"), ("ab",), ("a", "b", "")):
        hashed = SegmentHash(NO_HASH, segment=1, first_number=7, last_number=7, seal_time=1)
        hashed.add(AuditRecord(**{**{f: getattr(RECORD, f) for f in RECORD.__slots__}, "resources": resources}))
        digests.add(hashed.digest())
    assert len(digests) == 3
