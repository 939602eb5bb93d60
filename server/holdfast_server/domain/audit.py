"""The audit log: who changed what, and the segments that it is sealed in."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_server.domain.access import OWNER_NAME, check_principal, is_token_id
from holdfast_server.domain.names import check_length, shown
from holdfast_server.errors import InvalidArgument, Reason

# What is about the whole store, such as collecting its garbage.
STORE = "store"
KINDS = ("experiment", "run", "model", "live", "registered_model", "version", "alias", "token", "principal")
MAX_RESOURCE = 1_000


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
        _check_caller(self.principal)
        check_length(self.resource, MAX_RESOURCE, what="A resource", field="resource")
        kind, _, name = self.resource.partition("/")
        if self.resource not in {"", STORE} and not (kind in KINDS and name and name.isprintable()):
            raise InvalidArgument(
                f"{shown(self.resource)} is no resource: write KIND/ID, such as run/<id> or experiment/3, or {STORE}."
                f" Kinds are {', '.join(KINDS)}.",
                field="resource",
            )
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise InvalidArgument("There is no time from `since_time` on and before `until_time`.", field="until_time")


def _check_caller(name: str) -> None:
    """A principal, the owner, or a worker, which is called by its principal and its token: ``ada/<token id>``."""
    principal, slash, token_id = name.partition("/")
    if principal and (principal != OWNER_NAME or slash):
        check_principal(principal)
    if slash and not (principal and is_token_id(token_id)):
        raise InvalidArgument(
            f"{shown(name)} is no principal, nor a worker's name: a principal, a slash, and the id of its token.",
            reason=Reason.INVALID_NAME,
            field="principal",
        )
