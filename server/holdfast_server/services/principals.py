"""Use cases of principals, tokens and grants: plain functions over a transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdfast_server.domain.access import (
    MAX_TOKEN_DESCRIPTION,
    SECRET_BYTES,
    Principal,
    ResourceKind,
    Role,
    Secret,
    Token,
    check_principal,
    is_token_id,
)
from holdfast_server.domain.names import check_line, shown
from holdfast_server.errors import InvalidArgument, NotFound, Reason
from holdfast_server.services.experiments import get_experiment
from holdfast_server.services.ports.database import Transaction

TOKEN_ID_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What a caller says of a token to create.

    ``ceiling`` is what it allows at most. ``principal_role`` is the role on the server of a principal that is not there
    yet; None: it must be there. ``expire_time``, in milliseconds since 1970, None: never.
    """

    principal: str
    ceiling: Role = Role.ADMIN
    principal_role: Role | None = None
    description: str = ""
    expire_time: int | None = None

    def __post_init__(self) -> None:
        check_principal(self.principal)
        check_line(self.description, MAX_TOKEN_DESCRIPTION, what="The description", field="description")
        if self.ceiling is Role.NONE:
            raise InvalidArgument("A token that allows nothing is of no use; give it read or more.", field="ceiling")


def create_token(tx: Transaction, new: NewToken, random: Callable[[int], bytes]) -> tuple[Token, Secret]:
    """Make a token, and its principal when that is not there. The secret is not kept: nobody can read it again.

    Raises:
        NotFound: PRINCIPAL_NOT_FOUND.
        InvalidArgument: The expiry is over.
    """
    if new.expire_time is not None and new.expire_time <= tx.now_ms:
        raise InvalidArgument("A token expires in the future.", field="expire_time")
    if tx.access.get_principal(new.principal) is None:
        if new.principal_role is None:
            raise _no_principal(new.principal)
        tx.access.set_principal(new.principal, new.principal_role)
    return add_token(
        tx,
        random,
        principal=new.principal,
        ceiling=new.ceiling,
        description=new.description,
        expire_time=new.expire_time,
    )


def add_token(
    tx: Transaction,
    random: Callable[[int], bytes],
    *,
    principal: str,
    ceiling: Role,
    description: str,
    expire_time: int | None,
) -> tuple[Token, Secret]:
    """Add a token of a principal that is there; of its secret only the digest is kept."""
    secret = Secret.make(random(SECRET_BYTES))
    token = Token(
        id=tx.ids.new_id()[:TOKEN_ID_LENGTH],
        principal=principal,
        ceiling=ceiling,
        description=description,
        create_time=tx.now_ms,
        expire_time=expire_time,
    )
    tx.access.add_token(token, secret.digest)
    return token, secret


def revoke_token(tx: Transaction, token_id: str) -> Token:
    """Make a token useless at once; one that is revoked stays so.

    Raises:
        NotFound: TOKEN_NOT_FOUND.
    """
    if is_token_id(token_id):
        tx.access.revoke_token(token_id)
        token = tx.access.get_token(token_id)
        if token is not None:
            return token
    raise NotFound(
        "There is no token of this id: 16 hex digits, as `holdfast token ls` shows them.", reason=Reason.TOKEN_NOT_FOUND
    )


def set_principal(tx: Transaction, name: str, role: Role) -> Principal:
    """Add a principal, or give one another role on the server."""
    tx.access.set_principal(check_principal(name, field="name"), role)
    return get_principal(tx, name)


def get_principal(tx: Transaction, name: str) -> Principal:
    """Read a principal.

    Raises:
        NotFound: PRINCIPAL_NOT_FOUND.
    """
    found = tx.access.get_principal(name)
    if found is None:
        raise _no_principal(name)
    return found


def delete_principal(tx: Transaction, name: str) -> None:
    """Remove a principal with its tokens and grants. What it did keeps its name.

    Raises:
        NotFound: PRINCIPAL_NOT_FOUND.
    """
    get_principal(tx, name)
    tx.access.delete_principal(name)


def set_grant(tx: Transaction, principal: str, resource: tuple[ResourceKind, int], role: Role | None) -> None:
    """Give a principal a role on a resource, in place of that on the server; None takes it away.

    Raises:
        NotFound: PRINCIPAL_NOT_FOUND.
        InvalidArgument: ADMIN is no role on a resource.
    """
    get_principal(tx, principal)
    if role is Role.ADMIN:
        raise InvalidArgument(
            "On a resource manage is the highest role; admin is one of the whole server.", field="role"
        )
    tx.access.set_grant(principal, *resource, role)


def experiment_resource(tx: Transaction, experiment_id: str) -> tuple[ResourceKind, int]:
    """An experiment as what grants are given on.

    Raises:
        NotFound: EXPERIMENT_NOT_FOUND.
    """
    return ResourceKind.EXPERIMENT, get_experiment(tx, experiment_id).id


def registered_model_resource(tx: Transaction, name: str) -> tuple[ResourceKind, int]:
    """A registered model as what grants are given on.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND.
    """
    number = tx.access.number_of_model(name)
    if number is None:
        raise NotFound(
            f"There is no registered model {shown(name)}. Create it first.",
            reason=Reason.REGISTERED_MODEL_NOT_FOUND,
            metadata={"name": name[:200]},
        )
    return ResourceKind.REGISTERED_MODEL, number


def _no_principal(name: str) -> NotFound:
    return NotFound(
        f"There is no principal {shown(name)}. Add it, or create a token for it with a role.",
        reason=Reason.PRINCIPAL_NOT_FOUND,
        metadata={"principal": name[:200]},
    )
