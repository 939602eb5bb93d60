"""Whether a call may be made: what its rule needs against the roles of its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfast_server.domain.access import Caller, ResourceKind, Role, WorkerScope
from holdfast_server.errors import PermissionDenied
from holdfast_server.rpc.places import SERVER, Place
from holdfast_server.rpc.policy import Rule
from holdfast_server.services.access import role_of
from holdfast_server.services.hiding import Hidden
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.workers import refusal


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a call that is not refused.

    Attributes:
        hidden: What it names and its caller may not see; the call is to find that it is not there.
        held: What was found and needed; a call that goes on may need to be asked for it again.
    """

    hidden: Hidden = frozenset()
    held: tuple[tuple[Place, Role], ...] = ()


@dataclass(slots=True)
class _Roles:
    """The roles of a caller, each looked up once."""

    tx: Transaction
    caller: Caller
    known: dict[tuple[ResourceKind, int], Role] = field(default_factory=dict)

    def on(self, place: Place) -> Role:
        """What the caller may do there."""
        if place.kind is None:
            if place.anywhere and not self.caller.is_admin:
                best = min(self.tx.access.best_grant(self.caller.principal), self.caller.ceiling)
                return max(best, self.caller.server_role)
            return self.caller.server_role
        key = (place.kind, place.number)
        if key not in self.known:
            self.known[key] = role_of(self.tx, self.caller, *key)
        return self.known[key]


def judge(tx: Transaction, caller: Caller, rule: Rule, request: Any) -> Verdict:
    """Judge a call; ``request`` may be None where the rule finds nothing in it.

    What the caller may see and not do is refused whether or not the rest of the request is there, so that the refusal
    tells nothing of that.

    Raises:
        PermissionDenied: The caller may see what the request names, and not do this with it.
    """
    if caller.worker is not None:
        return _judge_worker(tx, caller, caller.worker, rule, request)
    if caller.is_admin:
        return Verdict(held=((SERVER, Role.ADMIN),))
    roles = _Roles(tx, caller)
    # Where a rule needs nothing in particular, lists are filtered by the role on the server.
    held: list[tuple[Place, Role]] = [] if rule.needs else [(SERVER, caller.server_role)]
    hidden: set[tuple[ResourceKind, int]] = set()
    for need in rule.needs:
        wanted = need.role_for(request)
        for place in need.find(tx, request, lambda place: roles.on(place) >= Role.READ):
            role = roles.on(place)
            if place.kind is not None and role < Role.READ:
                hidden.add((place.kind, place.number))
            elif role < wanted:
                raise _denied(caller, place, role, wanted)
            held.append((place, wanted))
    return Verdict(frozenset(hidden), tuple(held))


def _judge_worker(tx: Transaction, caller: Caller, worker: WorkerScope, rule: Rule, request: Any) -> Verdict:
    """Judge a call with a worker's token, whose owner must be able to write the run."""
    if rule.worker is None or (request is not None and not rule.worker(tx, worker, request)):
        raise refusal(worker)
    number = tx.access.experiment_of_run(worker.run_id)
    place = Place(ResourceKind.EXPERIMENT, -1 if number is None else number, "the run of this token")
    if number is None or (role := _Roles(tx, caller).on(place)) < Role.WRITE:
        raise _denied(caller, place, Role.NONE if number is None else role, Role.WRITE)
    return Verdict(held=((place, Role.WRITE),))


def still_holds(tx: Transaction, caller: Caller) -> Callable[[tuple[Place, Role]], bool]:
    """Tells whether a caller still has what it needed."""
    roles = _Roles(tx, caller)
    return lambda held: roles.on(held[0]) >= held[1]


def withdrawn(caller: Caller) -> PermissionDenied:
    """The error for a call in progress whose caller lost what it needs."""
    return PermissionDenied(
        f"The access of {caller.principal} was changed, and does not allow this call to go on. Ask an administrator.",
        metadata={"principal": caller.principal},
    )


def _denied(caller: Caller, place: Place, role: Role, wanted: Role) -> PermissionDenied:
    if caller.ceiling < wanted:
        why = f"this token of {caller.principal} allows {_word(caller.ceiling)} at most. Use another token."
    else:
        why = f"{caller.principal} has {_word(role)} there. Ask an administrator for more."
    return PermissionDenied(
        f"This needs the role {_word(wanted)} on {place.name}, and {why}",
        metadata={"needed_role": _word(wanted), "role": _word(role), "principal": caller.principal},
    )


def _word(role: Role) -> str:
    return role.name.lower()
