"""Tokens for workers: each writes to one run, for as long as its lease is held, and reads nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdfast_server.domain.access import (
    MAX_TOKEN_DESCRIPTION,
    Role,
    Secret,
    Token,
    WorkerScope,
)
from holdfast_server.domain.artifacts import Kind, NewEntry
from holdfast_server.domain.names import check_line, shown
from holdfast_server.domain.paths import check_path
from holdfast_server.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unauthenticated,
)
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.principals import add_token
from holdfast_server.services.runs import get_active_run

MIN_LIFETIME_MS = 60_000
MAX_LIFETIME_MS = 24 * 3_600_000
DEFAULT_LIFETIME_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorkerToken:
    """What a caller says of a worker's token to create. ``byte_budget`` None: as many as the store holds."""

    run_id: str
    path_prefix: str = ""
    byte_budget: int | None = None
    lifetime_ms: int = DEFAULT_LIFETIME_MS
    description: str = ""

    def __post_init__(self) -> None:
        if self.path_prefix:
            check_path(self.path_prefix, field="path_prefix")
        if self.byte_budget is not None and not 0 < self.byte_budget < 1 << 62:
            raise InvalidArgument("A byte budget is 1 or more, below 2^62; leave it out for none.", field="byte_budget")
        if not MIN_LIFETIME_MS <= self.lifetime_ms <= MAX_LIFETIME_MS:
            raise InvalidArgument(
                "A worker's token lives between a minute and a day after each renewal; it is renewed with the lease of"
                " its run, so it needs no longer.",
                reason=Reason.LIMIT_EXCEEDED,
                field="lifetime",
            )
        check_line(self.description, MAX_TOKEN_DESCRIPTION, what="The description", field="description")


def create_worker_token(tx: Transaction, new: NewWorkerToken, random: Callable[[int], bytes]) -> tuple[Token, Secret]:
    """Make a token that belongs to the current caller's principal and hangs on the token that it showed.

    Raises:
        NotFound: RUN_NOT_FOUND.
        FailedPrecondition: The run is deleted or ended.
        Unauthenticated: TOKEN_MISSING, the caller is the owner and showed no token.
    """
    caller = current_caller()
    run = get_active_run(tx, new.run_id)
    if run.end_time is not None:
        raise FailedPrecondition(
            f"Run {run.id} has ended, and a worker's token dies with its run. Set it RUNNING first.",
            metadata={"run_id": run.id},
        )
    if not caller.token_id:
        raise Unauthenticated(
            "A worker's token hangs on the token of who makes it, and this call showed none. Make one for a principal"
            " first (`holdfast token create`); a server that asks nobody needs none.",
            reason=Reason.TOKEN_MISSING,
        )
    token, secret = add_token(
        tx,
        random,
        principal=caller.grantee,
        ceiling=Role.WRITE,
        description=new.description,
        expire_time=tx.now_ms + new.lifetime_ms,
    )
    scope = WorkerScope(caller.grantee, run.id, new.path_prefix, new.byte_budget)
    tx.access.add_worker(token.id, caller.token_id, scope, new.lifetime_ms)
    found = tx.access.get_token(token.id)
    assert found is not None
    return found, secret


def charge(tx: Transaction, size: int) -> None:
    """Count bytes that the current caller sent, if it is a worker with a budget. What is sent again counts again.

    Raises:
        ResourceExhausted: WORKER_BUDGET_EXHAUSTED; nothing is counted.
    """
    caller = current_caller()
    if caller.worker is not None and not tx.access.charge_worker(caller.token_id, size):
        raise ResourceExhausted(
            f"The byte budget of this worker's token, {caller.worker.byte_budget}, does not hold {size} bytes more."
            " Ask who made it for another token.",
            reason=Reason.WORKER_BUDGET_EXHAUSTED,
            metadata={"byte_budget": str(caller.worker.byte_budget), "run_id": caller.worker.run_id},
        )


def is_charged() -> bool:
    """Whether what the current caller sends is counted."""
    worker = current_caller().worker
    return worker is not None and worker.byte_budget is not None


def check_entry(entry: NewEntry, *, in_run: bool) -> None:
    """Refuse an entry that the current caller, being a worker, may not commit; directories above its prefix it may.

    Raises:
        PermissionDenied: It is outside the prefix, or has an expectation, whose answer would tell what is there.
    """
    worker = current_caller().worker
    if worker is None:
        return
    if entry.expected_absent or entry.expected_digest is not None:
        raise refusal(worker, "expects something of what is there, and this token reads nothing")
    above = entry.kind is Kind.DIRECTORY and worker.path_prefix.startswith(f"{entry.path}/")
    if in_run and not above:
        check_worker_path(entry.path)


def check_worker_path(path: str) -> None:
    """Refuse a path of a run outside the prefix of the current caller, if it is a worker.

    Raises:
        PermissionDenied: It is outside.
    """
    worker = current_caller().worker
    if worker is not None and not worker.holds(path):
        raise refusal(worker, f"is about {shown(path)}, and this token writes below {shown(worker.path_prefix)} only")


def refusal(worker: WorkerScope, why: str = "is none of what it may do") -> PermissionDenied:
    """For whatever a worker may not do, whether or not what it names is there."""
    return PermissionDenied(
        f"This is a worker's token: it logs to run {worker.run_id}, and does and reads nothing else. The call {why}.",
        reason=Reason.WORKER_TOKEN,
        metadata={"run_id": worker.run_id},
    )
