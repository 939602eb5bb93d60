"""Params, which never change: what the target lacks is sent, and what it has otherwise is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from holdfast._calls import MAX_BATCH_PARAMS, batches
from holdfast._store_sync.tally import Tally
from holdfast.v1 import run_pb2

Params = Iterable[run_pb2.Param]


def sync_params(source: Params, target: Params, send: Callable[[list[run_pb2.Param]], None]) -> list[run_pb2.Param]:
    """Send the params that the target lacks.

    Args:
        source: What is to be there.
        target: What is there.
        send: Makes one request.

    Returns:
        Those that have another value at the target, and were not sent.
    """
    known = {param.key: param.value for param in target}
    new = [param for param in source if param.key not in known]
    for params in batches(new, MAX_BATCH_PARAMS):
        send(params)
    return [param for param in source if known.get(param.key, param.value) != param.value]


def note_refused(tally: Tally, subject: str, id_: str, refused: list[run_pb2.Param]) -> None:
    """Tell of params that have another value at the target."""
    if refused:
        first = refused[0]
        more = f", nor {len(refused) - 1} other params" if len(refused) > 1 else ""
        tally.note(
            subject,
            id_,
            f"Param {first.key!r:.200} has another value at the server and cannot become {first.value!r:.200}{more}: "
            "params never change. Everything else was sent.",
        )
