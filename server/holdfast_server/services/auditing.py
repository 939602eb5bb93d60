"""Writes down who changed what, in the transaction of the change itself.

Only calls whose caller is known are written down: where the server asks nobody there is no name to keep.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar

from holdfast_server.calls import request_id
from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.audit import Change
from holdfast_server.services.callers import current_caller
from holdfast_server.services.ports.database import Transaction

_method: ContextVar[str] = ContextVar("audited_method", default="")


@contextlib.contextmanager
def auditing(method: str) -> Iterator[None]:
    """Within this block changes are written down as those of a call of ``method``, by its caller."""
    token = _method.set(method)
    try:
        yield
    finally:
        _method.reset(token)


def audited_method() -> str:
    """The method whose changes are written down; empty where none are."""
    return _method.get()


def note_change(
    tx: Transaction, resources: Iterable[str], details: Mapping[str, object] | None = None, *, coalesce: bool = False
) -> None:
    """Write down that the call changed something, if its caller is known.

    Args:
        tx: The transaction of the change, with which this is kept or not.
        resources: What was changed, and where that belongs: see ``of_run`` and its kin.
        details: What of it; small, and no secret.
        coalesce: Count it with the calls alike since the last seal. For what comes many times a second.
    """
    method = _method.get()
    if not method:
        return
    caller = current_caller()
    change = Change(
        principal=caller.principal,
        token_id=caller.token_id,
        method=method,
        resources=tuple(dict.fromkeys(resources)),
        request_id=request_id.get(),
        details=json.dumps(details or {}, ensure_ascii=False, separators=(",", ":")),
    )
    tx.audit.append(change, coalesce=coalesce)


def of_run(tx: Transaction, run_id: str) -> list[str]:
    """A run and its experiment, as resources of a record."""
    return [f"run/{run_id}", *_experiment(tx.access.experiment_of_run(run_id))]


def of_model(tx: Transaction, model_id: str) -> list[str]:
    """A logged model and its experiment."""
    return [f"model/{model_id}", *_experiment(tx.access.experiment_of_model(model_id))]


def of_owner(tx: Transaction, owner: Owner) -> list[str]:
    """The run or logged model that owns files, and its experiment."""
    return of_model(tx, owner.id) if owner.is_model else of_run(tx, owner.id)


def _experiment(number: int | None) -> list[str]:
    return [] if number is None else [f"experiment/{number}"]
