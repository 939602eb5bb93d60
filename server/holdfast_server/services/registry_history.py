"""Reading what happened to registered models and their versions."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_server.domain.registry_history import RecordedChange
from holdfast_server.services import registry
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.query import Found, Position

# Texts of history are as long as descriptions may be, so few are read at a time.
STEP = 100


def walk_history(
    tx: Transaction, name: str, version: int, after: Position | None, limit: int
) -> Iterator[Found[RecordedChange]]:
    """Changes of a model, or of one of its versions, newest first, from the one after ``after`` on.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND, there never was a registered model of this name.
    """
    before = int(after[0]) if after else None
    if before is None and not tx.registry_history.list_before(name, 0, None, 1):
        registry.get_registered_model(tx, name)
    while limit > 0:
        page = tx.registry_history.list_before(name, version, before, min(limit, STEP))
        yield from (Found(change, (change.number,)) for change in page)
        if len(page) < min(limit, STEP):
            return
        before, limit = page[-1].number, limit - len(page)
