"""The audit log: who changed what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A change, or several alike that came between two seals. Times are milliseconds since 1970.

    Attributes:
        number: Its place in the log, from 1, without gaps.
        time: When the change was made; of several the first.
        last_time: The last of several.
        count: How many changes it stands for; request id and details are those of the first.
        principal: Who called; ``"owner"`` through the server's own Unix socket, without a token.
        token_id: The token that was shown; empty for the owner.
        method: Such as ``"holdfast.v1.RunService/CreateRun"``.
        resources: What was changed and where that belongs, such as ``"run/<id>"`` and ``"experiment/3"``.
        request_id: Names the call in the server's log.
        details: A JSON object of what changed, as text.
    """

    number: int
    time: int
    last_time: int
    count: int
    principal: str
    token_id: str
    method: str
    resources: tuple[str, ...]
    request_id: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSegment:
    """Records sealed by a hash over them and over the hash of the segment before.

    Attributes:
        number: From 1, without gaps.
        first_number: Its first record.
        last_number: Its last record.
        seal_time: Milliseconds since 1970.
        previous_hash: Of the segment before, in hex; zeros for the first.
        hash: SHA-256 in hex.
    """

    number: int
    first_number: int
    last_number: int
    seal_time: int
    previous_hash: str
    hash: str

    @property
    def head(self) -> str:
        """The segment and its hash as people keep them elsewhere, to expect them later."""
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What came of verifying the audit log.

    Attributes:
        segments: How many there are.
        records: How many records they have.
        unsealed: Records that are not sealed yet, of which nothing can be said but that none is missing between others.
        head: The last segment and its hash, ``"12:9f86d0…"``; None while nothing is sealed. Keep it elsewhere.
        problems: What is wrong, for people; empty when nothing is.
    """

    segments: int
    records: int
    unsealed: int
    head: str | None
    problems: tuple[str, ...]
