"""Who may do what: conversion and calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from holdfast._calls import Calls, build, collect
from holdfast._times import ms_from_proto, ms_to_proto, now_ms
from holdfast.entities import Caller, CreatedToken, Grant, Principal, Token, WorkerScope
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import access_pb2
from holdfast.v1 import access_service_pb2 as pb
from holdfast.v1.access_service_pb2_grpc import AccessServiceStub

PAGE_SIZE = 1_000
# For ever has to be said.
TOKEN_LIFETIME = timedelta(days=90)
_ROLES = {
    "none": access_pb2.ROLE_NONE,
    "read": access_pb2.ROLE_READ,
    "write": access_pb2.ROLE_WRITE,
    "manage": access_pb2.ROLE_MANAGE,
    "admin": access_pb2.ROLE_ADMIN,
}
_NAMES: dict[int, str] = {number: name for name, number in _ROLES.items()}


class AccessCalls(Calls):
    """What a client does with principals, tokens and grants.

    All but ``get_caller`` and ``create_worker_token`` need the role admin.
    """

    def get_caller(self) -> Caller:
        """Who the server takes this client for.

        Raises:
            UnauthenticatedError: The server wants a token, or does not accept this one.
        """
        answer = self._channel.call(self._access.GetCaller, pb.GetCallerRequest())
        return Caller(
            principal=answer.principal or None,
            role=_NAMES[answer.role],
            authentication_enabled=answer.authentication_enabled,
            token=_token_from_proto(answer.token) if answer.HasField("token") else None,
        )

    def create_token(
        self,
        principal: str,
        *,
        role: str | None = None,
        new_principal_role: str | None = None,
        expires_in: timedelta | float | None = TOKEN_LIFETIME,
        description: str = "",
    ) -> CreatedToken:
        """Make a token. Its secret is in the answer and nowhere else.

        Args:
            principal: Whose it shall be.
            role: What it allows at most; None for all that its principal may do.
            new_principal_role: Add the principal with this role on the server when it is not there; None: it must be.
            expires_in: For how long it is good, in seconds or as a timedelta, 90 days by default; None for ever.
            description: For people.

        Raises:
            NotFoundError: The principal is not there.
        """
        request = build(
            pb.CreateTokenRequest,
            principal=principal,
            ceiling=_role_to_proto(role),
            new_principal_role=_role_to_proto(new_principal_role),
            description=description,
        )
        if expires_in is not None:
            request.expire_time.CopyFrom(ms_to_proto(now_ms() + _ms(expires_in)))
        # A repetition would make another one, which nobody knows of; so it is not tried again.
        answer = self._channel.call(self._access.CreateToken, request, patience=0)
        return CreatedToken(token=_token_from_proto(answer.token), secret=answer.secret)

    def create_worker_token(
        self,
        run_id: str,
        *,
        path_prefix: str | None = None,
        byte_budget: int | None = None,
        lifetime: timedelta | float | None = None,
        description: str = "",
    ) -> CreatedToken:
        """Make a token that writes to one run and reads nothing, for a worker. Its secret is in the answer only.

        It needs the role write on the run, and hangs on this client's own token: when that is revoked, it is good for
        nothing. It expires unless the run's lease is renewed with it, which ``holdfast.start_run`` does in the worker,
        and a minute after the run has ended.

        Args:
            run_id: The run, which must not have ended.
            path_prefix: Where in its artifacts the worker may write; None: everywhere.
            byte_budget: How many bytes of artifacts it may send in all; None: as many as it likes.
            lifetime: For how long it is good after each renewal, in seconds, from a minute to a day; None: an hour.
            description: For people.

        Raises:
            NotFoundError: The run is not there.
            FailedPreconditionError: The run has ended, or this client shows no token.
            PermissionDeniedError: The role on the run's experiment is less than write.
        """
        request = build(
            pb.CreateWorkerTokenRequest,
            run_id=run_id,
            path_prefix=path_prefix,
            byte_budget=byte_budget,
            description=description,
        )
        if lifetime is not None:
            request.lifetime.FromMilliseconds(_ms(lifetime))
        answer = self._channel.call(self._access.CreateWorkerToken, request, patience=0)
        return CreatedToken(token=_token_from_proto(answer.token), secret=answer.secret)

    def list_tokens(self, principal: str | None = None) -> list[Token]:
        """All tokens, or those of a principal, the oldest first; expired and revoked ones are among them."""

        def fetch(size: int, token: str) -> tuple[Iterable[Token], str]:
            request = build(pb.ListTokensRequest, principal=principal or "", page_size=size, page_token=token)
            page = self._channel.call(self._access.ListTokens, request)
            return map(_token_from_proto, page.tokens), page.next_page_token

        return collect(fetch, max_results=None, page_size=PAGE_SIZE, token=None)

    def revoke_token(self, token_id: str) -> Token:
        """Make a token useless, for good and at once, also for calls in progress.

        Raises:
            NotFoundError: There is no such token.
        """
        answer = self._mutate(self._access.RevokeToken, build(pb.RevokeTokenRequest, token_id=token_id))
        return _token_from_proto(answer.token)

    def set_principal(self, name: str, role: str) -> Principal:
        """Add a principal, or give one another role on the server."""
        request = build(pb.SetPrincipalRequest, name=name, role=_role_to_proto(role))
        return _principal_from_proto(self._mutate(self._access.SetPrincipal, request).principal)

    def delete_principal(self, name: str) -> None:
        """Remove a principal with its tokens and grants. What it did keeps its name.

        Raises:
            NotFoundError: There is no such principal.
        """
        self._mutate(self._access.DeletePrincipal, build(pb.DeletePrincipalRequest, name=name))

    def list_principals(self) -> list[Principal]:
        """All principals, in order of their names."""

        def fetch(size: int, token: str) -> tuple[Iterable[Principal], str]:
            request = build(pb.ListPrincipalsRequest, page_size=size, page_token=token)
            page = self._channel.call(self._access.ListPrincipals, request)
            return map(_principal_from_proto, page.principals), page.next_page_token

        return collect(fetch, max_results=None, page_size=PAGE_SIZE, token=None)

    def set_grant(
        self,
        principal: str,
        role: str | None,
        *,
        experiment_id: str | None = None,
        registered_model: str | None = None,
    ) -> None:
        """Give a principal a role on an experiment or registered model, in place of its role on the server.

        Args:
            principal: Who; must be there.
            role: ``"none"`` hides it; None takes the grant back, so that the role on the server counts again.
            experiment_id: On this experiment, its runs, logged models and their files.
            registered_model: On the registered model of this name, its versions and aliases.

        Raises:
            NotFoundError: The principal or the resource is not there.
        """
        resource = _resource_to_proto(experiment_id, registered_model)
        if resource is None:
            raise InvalidArgumentError("Say on what: give experiment_id or registered_model.")
        request = build(pb.SetGrantRequest, principal=principal, role=_role_to_proto(role), resource=resource)
        self._mutate(self._access.SetGrant, request)

    def list_grants(
        self,
        principal: str | None = None,
        *,
        experiment_id: str | None = None,
        registered_model: str | None = None,
    ) -> list[Grant]:
        """Grants, in order of their principals: of one principal, on one resource, or all."""
        resource = _resource_to_proto(experiment_id, registered_model)

        def fetch(size: int, token: str) -> tuple[Iterable[Grant], str]:
            request = build(
                pb.ListGrantsRequest, principal=principal or "", resource=resource, page_size=size, page_token=token
            )
            page = self._channel.call(self._access.ListGrants, request)
            return map(_grant_from_proto, page.grants), page.next_page_token

        return collect(fetch, max_results=None, page_size=PAGE_SIZE, token=None)

    @property
    def _access(self) -> AccessServiceStub:
        return self._channel.stub(AccessServiceStub)


def _role_to_proto(role: str | None) -> Any:
    if role is None:
        return access_pb2.ROLE_UNSPECIFIED
    if not isinstance(role, str) or role.lower() not in _ROLES:
        raise InvalidArgumentError(f"{role!r:.80} is no role: it is one of {', '.join(_ROLES)}.")
    return _ROLES[role.lower()]


def _resource_to_proto(experiment_id: str | None, registered_model: str | None) -> access_pb2.AccessResource | None:
    if experiment_id is not None and registered_model is not None:
        raise InvalidArgumentError("Give experiment_id or registered_model, not both.")
    if experiment_id is not None:
        return build(access_pb2.AccessResource, experiment_id=experiment_id)
    return build(access_pb2.AccessResource, registered_model=registered_model) if registered_model is not None else None


def _ms(length: timedelta | float) -> int:
    if isinstance(length, bool) or not isinstance(length, (int, float, timedelta)):
        raise InvalidArgumentError(f"expires_in is a number of seconds or a timedelta, not {type(length).__name__}.")
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if not 0 < seconds < 1e11:  # some three thousand years
        raise InvalidArgumentError(f"expires_in is more than zero, and not {length}; None is for ever.")
    return round(seconds * 1_000)


def _optional_ms(proto: access_pb2.Token, field: Any) -> int | None:
    return ms_from_proto(getattr(proto, field)) if proto.HasField(field) else None


def _token_from_proto(proto: access_pb2.Token) -> Token:
    return Token(
        token_id=proto.token_id,
        principal=proto.principal,
        role=_NAMES[proto.ceiling],
        description=proto.description,
        creation_time=ms_from_proto(proto.create_time),
        expiration_time=_optional_ms(proto, "expire_time"),
        last_use_time=_optional_ms(proto, "last_use_time"),
        revocation_time=_optional_ms(proto, "revoke_time"),
        worker=_scope_from_proto(proto.worker) if proto.HasField("worker") else None,
    )


def _scope_from_proto(proto: access_pb2.WorkerScope) -> WorkerScope:
    return WorkerScope(
        run_id=proto.run_id,
        path_prefix=proto.path_prefix or None,
        byte_budget=proto.byte_budget if proto.HasField("byte_budget") else None,
        bytes_used=proto.bytes_used,
    )


def _principal_from_proto(proto: access_pb2.Principal) -> Principal:
    return Principal(name=proto.name, role=_NAMES[proto.role], creation_time=ms_from_proto(proto.create_time))


def _grant_from_proto(proto: access_pb2.Grant) -> Grant:
    return Grant(
        principal=proto.principal,
        role=_NAMES[proto.role],
        experiment_id=proto.resource.experiment_id or None,
        registered_model=proto.resource.registered_model or None,
    )
