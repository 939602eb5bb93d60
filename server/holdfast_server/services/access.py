"""Who the current caller is, and what it may do."""

from __future__ import annotations

import hmac

from holdfast_server.domain.access import Caller, ResourceKind, Role, Secret, Viewer
from holdfast_server.errors import Reason, Unauthenticated
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.access import Known
from holdfast_server.services.ports.database import Transaction


def role_of(tx: Transaction, caller: Caller, kind: ResourceKind, number: int) -> Role:
    """What a caller may do with a resource."""
    if caller.is_admin:
        return Role.ADMIN
    return caller.role_by(tx.access.role_on(caller.grantee, kind, number))


def may(tx: Transaction, role: Role, kind: ResourceKind, number: int) -> bool:
    """Whether the current caller has a role on a resource."""
    return role_of(tx, current_caller(), kind, number) >= role


def current_viewer() -> Viewer | None:
    """Whose searches are restricted to what the current caller may read; None for one who may read everything."""
    caller = current_caller()
    if caller.worker is not None:  # whoever made its token, it reads nothing
        return Viewer(caller.principal, sees_all=False, sees_granted=False)
    if caller.role is Role.ADMIN and caller.ceiling >= Role.READ:  # no grant counts for an administrator
        return None
    return Viewer(caller.principal, caller.server_role >= Role.READ, caller.ceiling >= Role.READ)


def make_manager(tx: Transaction, kind: ResourceKind, number: int) -> None:
    """Let the current caller manage what it has just created, if roles are given to it at all."""
    principal = current_caller().principal
    if principal and tx.access.get_principal(principal) is not None:
        tx.access.set_grant(principal, kind, number, Role.MANAGE)


def authenticate(tx: Transaction, secret: Secret) -> Known:
    """The token of a secret.

    Raises:
        Unauthenticated: TOKEN_UNKNOWN, TOKEN_EXPIRED or TOKEN_REVOKED.
    """
    known = tx.access.find_token(secret.digest)
    if known is None or not hmac.compare_digest(known.hash, secret.digest):
        raise _unknown()
    return check_good(tx, known)


def authenticate_again(tx: Transaction, token_id: str) -> Known:
    """A token that was good before, if it still is; raises likewise."""
    known = tx.access.find_token_by_id(token_id)
    if known is None:
        raise _unknown()
    return check_good(tx, known)


def check_good(tx: Transaction, known: Known) -> Known:
    """Refuse a token that does not count any more.

    Raises:
        Unauthenticated: TOKEN_EXPIRED or TOKEN_REVOKED.
    """
    if known.revoke_time is not None or known.is_orphan:
        raise Unauthenticated("The token was revoked. Ask an administrator for another.", reason=Reason.TOKEN_REVOKED)
    if known.expire_time is not None and known.expire_time <= tx.now_ms:
        raise Unauthenticated("The token has expired. Ask an administrator for another.", reason=Reason.TOKEN_EXPIRED)
    return known


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "This server does not know the token: it was made by another one, or its principal was removed.",
        reason=Reason.TOKEN_UNKNOWN,
    )
