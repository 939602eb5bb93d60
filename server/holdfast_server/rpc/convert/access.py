"""Roles, principals, tokens and grants between messages and domain values."""

from __future__ import annotations

from typing import Any

from holdfast.v1 import access_pb2 as pb
from holdfast_server.domain.access import Grant, Principal, ResourceKind, Role, Token, WorkerScope
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.times import ms_from_proto, ms_to_proto

_ROLES = {
    Role.NONE: pb.ROLE_NONE,
    Role.READ: pb.ROLE_READ,
    Role.WRITE: pb.ROLE_WRITE,
    Role.MANAGE: pb.ROLE_MANAGE,
    Role.ADMIN: pb.ROLE_ADMIN,
}
_FROM_ROLE: dict[int, Role] = {number: role for role, number in _ROLES.items()}
_TIMES = ("create_time", "expire_time", "last_use_time", "revoke_time")


def role_to_proto(role: Role) -> Any:
    """A role as an enum value."""
    return _ROLES[role]


def role_from_proto(role: int, *, field: str = "role") -> Role | None:
    """A role from an enum value; None when it is unspecified.

    Raises:
        InvalidArgument: This server does not know the value.
    """
    if role == pb.ROLE_UNSPECIFIED:
        return None
    found = _FROM_ROLE.get(role)
    if found is None:
        raise InvalidArgument(f"{role} is no role; use NONE, READ, WRITE, MANAGE or ADMIN.", field=field)
    return found


def principal_to_proto(principal: Principal) -> pb.Principal:
    """A principal as a message."""
    return pb.Principal(
        name=principal.name, role=role_to_proto(principal.role), create_time=ms_to_proto(principal.create_time)
    )


def principal_from_proto(message: pb.Principal) -> Principal:
    """A principal from a message that this server made."""
    create_time = ms_from_proto(message.create_time, field="create_time")
    return Principal(name=message.name, role=_FROM_ROLE[message.role], create_time=create_time)


def token_to_proto(token: Token) -> pb.Token:
    """A token as a message."""
    times = {name: ms_to_proto(ms) for name in _TIMES if (ms := getattr(token, name)) is not None}
    message = pb.Token(
        token_id=token.id,
        principal=token.principal,
        ceiling=role_to_proto(token.ceiling),
        description=token.description,
    )
    for name, time in times.items():
        getattr(message, name).CopyFrom(time)
    if token.worker is not None:
        scope = token.worker
        message.worker.run_id, message.worker.path_prefix = scope.run_id, scope.path_prefix
        message.worker.bytes_used = token.bytes_used
        if scope.byte_budget is not None:
            message.worker.byte_budget = scope.byte_budget
    return message


def token_from_proto(message: pb.Token) -> Token:
    """A token from a message that this server made."""
    times = {name: ms_from_proto(getattr(message, name), field=name) for name in _TIMES if message.HasField(name)}
    return Token(
        id=message.token_id,
        principal=message.principal,
        ceiling=_FROM_ROLE[message.ceiling],
        description=message.description,
        worker=_scope_from_proto(message) if message.HasField("worker") else None,
        bytes_used=message.worker.bytes_used,
        **times,
    )


def _scope_from_proto(message: pb.Token) -> WorkerScope:
    scope = message.worker
    budget = scope.byte_budget if scope.HasField("byte_budget") else None
    return WorkerScope(message.principal, scope.run_id, scope.path_prefix, budget)


def grant_to_proto(grant: Grant) -> pb.Grant:
    """A grant as a message."""
    if grant.kind is ResourceKind.EXPERIMENT:
        resource = pb.AccessResource(experiment_id=grant.resource)
    else:
        resource = pb.AccessResource(registered_model=grant.resource)
    return pb.Grant(principal=grant.principal, resource=resource, role=role_to_proto(grant.role))


def grant_from_proto(message: pb.Grant) -> Grant:
    """A grant from a message that this server made."""
    which = message.resource.WhichOneof("resource")
    kind = ResourceKind.EXPERIMENT if which == "experiment_id" else ResourceKind.REGISTERED_MODEL
    return Grant(message.principal, kind, getattr(message.resource, which or ""), _FROM_ROLE[message.role])
