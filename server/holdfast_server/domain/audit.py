"""The audit log: who changed what, and the segments that it is sealed in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from holdfast_server.domain.access import check_caller_name
from holdfast_server.domain.names import check_line, shown
from holdfast_server.errors import InvalidArgument

MAX_RESOURCE = 2_048
_RESOURCE = re.compile(r"[a-z_]+/.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that a call changed.

    Attributes:
        principal: Who called.
        token_id: The token that was shown; empty for the owner of the data directory, who needs none.
        method: Such as ``holdfast.v1.RunService/CreateRun``.
        resources: What it is about and where that belongs, such as ``run/<id>`` and ``experiment/3``.
        request_id: Names the call in logs.
        details: A JSON object of what changed; never a secret.
    """

    principal: str
    token_id: str
    method: str
    resources: tuple[str, ...]
    request_id: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord(Change):
    """A change as it was written down, or several alike.

    Attributes:
        number: Its place in the log, from 1, without gaps.
        time: When it was made, in milliseconds since 1970; the first of several.
        last_time: The last of several.
        count: How many there were; the request id and the details are those of the first.
    """

    number: int
    time: int
    last_time: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSegment:
    """Records that are sealed by a hash over them and the hash of the segment before.

    Attributes:
        number: From 1, without gaps.
        first_number: Its first record.
        last_number: Its last record.
        seal_time: Milliseconds since 1970.
        previous_hash: Of the segment before; zeros for the first.
        hash: 32 bytes; ``holdfast.format.audit`` says of what.
    """

    number: int
    first_number: int
    last_number: int
    seal_time: int
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records are asked for; what is empty or None does not restrict.

    ``since`` and ``until`` are about the time of a record's first change, in milliseconds since 1970, the latter
    excluded.
    """

    principal: str = ""
    resource: str = ""
    method: str = ""
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no record can meet: who is told of nothing takes it that nothing was changed."""
        if self.principal:
            check_caller_name(self.principal)
        check_line(self.resource, MAX_RESOURCE, what="A resource", field="resource")
        if self.resource and not _RESOURCE.fullmatch(self.resource):
            raise InvalidArgument(
                f"{shown(self.resource)} is no resource: a kind and a name, such as experiment/3 or run/<id>.",
                field="resource",
            )
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise InvalidArgument(
                "until_time is not after since_time, so that nothing lies between.", field="until_time"
            )
