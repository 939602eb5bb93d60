"""Verifies the audit log: that its segments follow from each other, and have the records that were sealed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from holdfast.entities import AuditCheck, AuditRecord, AuditSegment
from holdfast.errors import InvalidArgumentError
from holdfast.format.audit import NO_HASH, SegmentHash

# More of them tell nothing more.
MAX_PROBLEMS = 20
_HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def parse_head(text: str) -> tuple[int, str]:
    """The number and the hash of a head.

    Raises:
        InvalidArgumentError: It is none.
    """
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise InvalidArgumentError(
            "A head is the number of a segment, a colon, and 64 hex digits, as `holdfast audit verify` prints it."
        )
    return int(found[1]), found[2]


def check_log(segments: Sequence[AuditSegment], records: Iterable[AuditRecord], expect: str | None) -> AuditCheck:
    """Compare segments with records, both by their numbers; ``expect`` is a head that was seen before.

    Raises:
        InvalidArgumentError: ``expect`` is no head.
    """
    expected = parse_head(expect) if expect is not None else None
    log = _Log(records)
    for segment in segments:
        log.check(segment)
    unsealed = log.count_rest()
    if expected is not None:
        log.find(segments, *expected)
    problems = log.problems
    if len(problems) > MAX_PROBLEMS:
        problems = [*problems[:MAX_PROBLEMS], f"There are {len(problems) - MAX_PROBLEMS} more problems."]
    return AuditCheck(
        segments=len(segments),
        records=log.sealed,
        unsealed=unsealed,
        head=segments[-1].head if segments else None,
        problems=tuple(problems),
    )


class _Log:
    """Goes once through the records, segment by segment."""

    def __init__(self, records: Iterable[AuditRecord]) -> None:
        self._records: Iterator[AuditRecord] = iter(records)
        self._next = next(self._records, None)
        # The segment and the record that come next, and the hash that the former follows from.
        self._segment, self._number, self._hash = 1, 1, NO_HASH.hex()
        self.sealed = 0
        self.problems: list[str] = []

    def check(self, segment: AuditSegment) -> None:
        """Verify the next segment."""
        if segment.number != self._segment:
            self._add(f"{_several('Segment', self._segment, segment.number - 1)} missing.")
        elif segment.first_number != self._number:
            self._add(f"{_named(segment)} should begin with record {self._number}.")
        if segment.number == self._segment and segment.previous_hash != self._hash:
            self._add(f"{_named(segment)} does not follow from the one before, which was changed or replaced.")
        self._number = segment.first_number
        self._take_until(segment.first_number - 1)  # what stands between segments belongs to none
        hashed = SegmentHash(
            bytes.fromhex(segment.previous_hash),
            segment=segment.number,
            first_number=segment.first_number,
            last_number=segment.last_number,
            seal_time=segment.seal_time,
        )
        is_whole = True
        while self._next is not None and self._next.number <= segment.last_number:
            record = self._take()
            is_whole &= self._follows(record)
            hashed.add(record)
            self.sealed += 1
        if self._number <= segment.last_number:
            self._add(f"{_several('Record', self._number, segment.last_number)} missing from {_named(segment, 's')}.")
            is_whole = False
        # A hash that does not fit says nothing new of a segment that lacks records.
        if is_whole and hashed.digest().hex() != segment.hash:
            self._add(f"{_named(segment)} does not have its hash: records in it were changed, exchanged or replaced.")
        self._segment, self._number, self._hash = segment.number + 1, segment.last_number + 1, segment.hash

    def count_rest(self) -> int:
        """Go through what is not sealed; returns how many records that is."""
        count = 0
        while self._next is not None:
            self._follows(self._take())
            count += 1
        return count

    def find(self, segments: Sequence[AuditSegment], number: int, wanted: str) -> None:
        """Look for a segment that was there before."""
        found = next((segment for segment in segments if segment.number == number), None)
        if found is None:
            last = segments[-1].number if segments else 0
            lost = f"Segment {number} was there before, and is missing"
            cut = f"{lost}: the log ends with segment {last}. It was cut off, or an older backup was restored."
            self._add(cut if last < number else f"{lost}.")
        elif found.hash != wanted:
            self._add(f"{_named(found)} has another hash than it had before: the log was written anew.")

    def _take(self) -> AuditRecord:
        record = self._next
        assert record is not None
        self._next = next(self._records, None)
        return record

    def _take_until(self, last: int) -> None:
        while self._next is not None and self._next.number <= last:
            self._add(f"Record {self._take().number} belongs to no segment: it was put in.")

    def _follows(self, record: AuditRecord) -> bool:
        missing = record.number > self._number
        if missing:
            self._add(f"{_several('Record', self._number, record.number - 1)} missing.")
        self._number = record.number + 1
        return not missing

    def _add(self, problem: str) -> None:
        self.problems.append(problem)


def _several(what: str, first: int, last: int) -> str:
    return f"{what} {first} is" if last <= first else f"{what}s {first} to {last} are"


def _named(segment: AuditSegment, small: str = "S") -> str:
    return f"{small}egment {segment.number} (records {segment.first_number} to {segment.last_number})"
