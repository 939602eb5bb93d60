"""What a tree's owner allows: reading of its snapshots, and writing while it is neither deleted nor final."""

from __future__ import annotations

from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.names import shown
from holdfast_server.errors import FailedPrecondition, NotFound, Reason
from holdfast_server.services.ports.database import Transaction


def check_writable(tx: Transaction, owner: Owner) -> None:
    """Refuse commits to what is not there, deleted or final.

    Raises:
        NotFound: RUN_NOT_FOUND or MODEL_NOT_FOUND.
        FailedPrecondition: DELETED or MODEL_FINALIZED.
    """
    state = _lifecycle(tx, owner)
    if state == "deleted":
        raise FailedPrecondition(
            f"The {owner} is deleted; restore it before logging to it.",
            reason=Reason.DELETED,
            metadata={"id": owner.id},
        )
    if owner.is_model and state != "PENDING":
        raise FailedPrecondition(
            f"The {owner} is final ({state}) and its artifacts cannot change. Log a new model instead.",
            reason=Reason.MODEL_FINALIZED,
            metadata={"model_id": owner.id},
        )


def check_exists(tx: Transaction, owner: Owner) -> None:
    """Refuse what is not there.

    Raises:
        NotFound: RUN_NOT_FOUND or MODEL_NOT_FOUND.
    """
    _lifecycle(tx, owner)


def snapshot(tx: Transaction, owner: Owner, sequence: int | None) -> int:
    """The number of the snapshot to read: that asked for, or the newest. One that a version pins outlives its owner.

    Raises:
        NotFound: The owner is not there, or has no such snapshot yet.
        FailedPrecondition: SNAPSHOT_EXPIRED, it is too old.
    """
    if sequence is not None and tx.trees.is_pinned(owner, sequence):
        return sequence
    _lifecycle(tx, owner)
    latest = tx.trees.latest_sequence(owner)
    if sequence is None:
        return latest
    if not 0 <= sequence <= latest:
        raise NotFound(f"The {owner} has no snapshot {sequence}; its newest is {latest}.")
    if not tx.trees.is_kept(owner, sequence):
        raise expired(f"Snapshot {sequence} of {owner}")
    return sequence


def expired(what: str) -> FailedPrecondition:
    """The error for what was replaced or removed so long ago that it was collected."""
    return FailedPrecondition(
        f"{what} was replaced too long ago and is not kept any more. List or resolve again to read the newest.",
        reason=Reason.SNAPSHOT_EXPIRED,
    )


def not_found(owner: Owner, path: str) -> NotFound:
    """The error for a path at which nothing stands."""
    return NotFound(f"There is no file or directory {shown(path)} in {owner}.", metadata={"path": ascii(path[:200])})


def _lifecycle(tx: Transaction, owner: Owner) -> str:
    """``deleted``, or what else is known; raises when the owner is not there."""
    if owner.is_model:
        state = tx.models.get_state(owner.id)
        if state is None:
            raise NotFound(f"There is no {owner}.", reason=Reason.MODEL_NOT_FOUND, metadata={"model_id": owner.id})
        status, lifecycle = state
        return "deleted" if str(lifecycle).lower() == "deleted" else str(status)
    lifecycle_stage = tx.runs.get_lifecycle(owner.id)
    if lifecycle_stage is None:
        raise NotFound(f"There is no {owner}.", reason=Reason.RUN_NOT_FOUND, metadata={"run_id": owner.id})
    return str(lifecycle_stage)
