"""AccessService over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message

from holdfast.v1 import access_pb2, access_service_pb2_grpc
from holdfast.v1 import access_service_pb2 as pb
from holdfast_server.domain.access import ResourceKind, Role, Secret, Token, check_caller_name
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.audited import note_answer
from holdfast_server.rpc.convert import access as convert
from holdfast_server.rpc.convert.storage import optional_duration_ms
from holdfast_server.rpc.convert.times import optional_ms_from_proto
from holdfast_server.rpc.mutations import mutate
from holdfast_server.rpc.paging import page_limit
from holdfast_server.services import principals, workers
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.search.page_token import open_token, seal_token

M = TypeVar("M", bound=Message)
NewTokenResponse = TypeVar("NewTokenResponse", pb.CreateTokenResponse, pb.CreateWorkerTokenResponse)

MAX_PAGE = 1_000


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Says who may do what.

    Args:
        database: Where that is kept.
        random: Makes so many random bytes, for secrets.
        changed: Is awaited after each change that may take something away, before it is answered.
        authenticates: Whether callers are asked who they are.
    """

    def __init__(
        self,
        database: Database,
        random: Callable[[int], bytes],
        changed: Callable[[], Awaitable[None]],
        *,
        authenticates: bool,
    ) -> None:
        self._database, self._random, self._changed = database, random, changed
        self._authenticates = authenticates

    async def GetCaller(self, request: pb.GetCallerRequest, context: Any) -> pb.GetCallerResponse:
        """Tell who the caller is."""
        caller = current_caller()
        response = pb.GetCallerResponse(
            principal=caller.principal,
            role=convert.role_to_proto(caller.server_role),
            authentication_enabled=self._authenticates,
        )
        if caller.token_id:
            token = await self._database.read(lambda tx: tx.access.get_token(caller.token_id))
            if token is not None:
                response.token.CopyFrom(convert.token_to_proto(token))
        return response

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.CreateTokenResponse:
        """Make a token."""
        ceiling = convert.role_from_proto(request.ceiling, field="ceiling")
        new = principals.NewToken(
            principal=request.principal,
            ceiling=Role.ADMIN if ceiling is None else ceiling,
            principal_role=convert.role_from_proto(request.new_principal_role, field="new_principal_role"),
            description=request.description,
            expire_time=optional_ms_from_proto(request, "expire_time"),
        )

        make = partial(principals.create_token, new=new, random=self._random)
        return await self._make_token(request, make, pb.CreateTokenResponse)

    async def CreateWorkerToken(
        self, request: pb.CreateWorkerTokenRequest, context: Any
    ) -> pb.CreateWorkerTokenResponse:
        """Make a token bound to a run."""
        lifetime_ms = optional_duration_ms(request, "lifetime")
        new = workers.NewWorkerToken(
            run_id=request.run_id,
            path_prefix=request.path_prefix,
            byte_budget=request.byte_budget if request.HasField("byte_budget") else None,
            lifetime_ms=workers.DEFAULT_LIFETIME_MS if lifetime_ms is None else lifetime_ms,
            description=request.description,
        )

        make = partial(workers.create_worker_token, new=new, random=self._random)
        return await self._make_token(request, make, pb.CreateWorkerTokenResponse)

    async def _make_token(
        self,
        request: Message,
        make: Callable[[Transaction], tuple[Token, Secret]],
        response_type: type[NewTokenResponse],
    ) -> NewTokenResponse:
        """Make a token. The answer, having its secret, is not kept for repetitions as those of other mutations are."""

        def job(tx: Transaction) -> NewTokenResponse:
            token, secret = make(tx)
            response = response_type(token=convert.token_to_proto(token), secret=secret.text)
            note_answer(tx, request, response)
            return response

        return await self._database.write(job)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        """Page through tokens."""
        limit = page_limit(request.page_size, default=100, maximum=MAX_PAGE)
        # A name that nobody can have would find nothing, which reads as if nobody could do anything.
        principal = request.principal and check_caller_name(request.principal)
        bound = ("ListTokens", principal)

        def job(tx: Transaction) -> pb.ListTokensResponse:
            place = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            after = (int(place[0]), str(place[1])) if place else None
            found = tx.access.list_tokens(principal, after, limit + 1)
            response = pb.ListTokensResponse(tokens=map(convert.token_to_proto, found[:limit]))
            if len(found) > limit:
                last = found[limit - 1]
                response.next_page_token = seal_token(tx.page_token_key, bound, (last.create_time, last.id))
            return response

        return await self._database.read(job)

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        """Make a token useless."""

        def job(tx: Transaction) -> pb.RevokeTokenResponse:
            return pb.RevokeTokenResponse(token=convert.token_to_proto(principals.revoke_token(tx, request.token_id)))

        return await self._change(request, pb.RevokeTokenResponse, job)

    async def SetPrincipal(self, request: pb.SetPrincipalRequest, context: Any) -> pb.SetPrincipalResponse:
        """Add a principal, or change its role."""
        role = convert.role_from_proto(request.role)
        if role is None:
            raise InvalidArgument("Say which role the principal has on the server; NONE is one.", field="role")

        def job(tx: Transaction) -> pb.SetPrincipalResponse:
            principal = principals.set_principal(tx, request.name, role)
            return pb.SetPrincipalResponse(principal=convert.principal_to_proto(principal))

        return await self._change(request, pb.SetPrincipalResponse, job)

    async def DeletePrincipal(self, request: pb.DeletePrincipalRequest, context: Any) -> pb.DeletePrincipalResponse:
        """Remove a principal."""

        def job(tx: Transaction) -> pb.DeletePrincipalResponse:
            principals.delete_principal(tx, request.name)
            return pb.DeletePrincipalResponse()

        return await self._change(request, pb.DeletePrincipalResponse, job)

    async def ListPrincipals(self, request: pb.ListPrincipalsRequest, context: Any) -> pb.ListPrincipalsResponse:
        """Page through principals."""
        limit = page_limit(request.page_size, default=100, maximum=MAX_PAGE)
        bound = ("ListPrincipals",)

        def job(tx: Transaction) -> pb.ListPrincipalsResponse:
            place = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            found = tx.access.list_principals(str(place[0]) if place else "", limit + 1)
            response = pb.ListPrincipalsResponse(principals=map(convert.principal_to_proto, found[:limit]))
            if len(found) > limit:
                response.next_page_token = seal_token(tx.page_token_key, bound, (found[limit - 1].name,))
            return response

        return await self._database.read(job)

    async def SetGrant(self, request: pb.SetGrantRequest, context: Any) -> pb.SetGrantResponse:
        """Give a role on a resource, or take it back."""
        role = convert.role_from_proto(request.role)

        def job(tx: Transaction) -> pb.SetGrantResponse:
            principals.set_grant(tx, request.principal, _resource(tx, request.resource), role)
            return pb.SetGrantResponse()

        return await self._change(request, pb.SetGrantResponse, job)

    async def ListGrants(self, request: pb.ListGrantsRequest, context: Any) -> pb.ListGrantsResponse:
        """Page through grants."""
        limit = page_limit(request.page_size, default=100, maximum=MAX_PAGE)
        principal = request.principal and check_caller_name(request.principal)
        bound = ("ListGrants", principal, request.resource.SerializeToString(deterministic=True))

        def job(tx: Transaction) -> pb.ListGrantsResponse:
            place = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            after = (str(place[0]), str(place[1]), int(place[2])) if place else None
            resource = _resource(tx, request.resource) if request.HasField("resource") else None
            found = tx.access.list_grants(principal, resource, after, limit + 1)
            response = pb.ListGrantsResponse(grants=[convert.grant_to_proto(grant) for grant, _ in found[:limit]])
            if len(found) > limit:
                response.next_page_token = seal_token(tx.page_token_key, bound, found[limit - 1][1])
            return response

        return await self._database.read(job)

    async def _change(self, request: Any, response_type: type[M], job: Callable[[Transaction], M]) -> M:
        response = await mutate(self._database, request, response_type, job)
        await self._changed()
        return response


def _resource(tx: Transaction, message: access_pb2.AccessResource) -> tuple[ResourceKind, int]:
    which = message.WhichOneof("resource")
    if which == "experiment_id":
        return principals.experiment_resource(tx, message.experiment_id)
    if which == "registered_model":
        return principals.registered_model_resource(tx, message.registered_model)
    raise InvalidArgument("Say on what: set experiment_id or registered_model.", field="resource")
