"""Reading what happened to registered models and their versions."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_server.domain.registry_history import RecordedChange
from holdfast_server.services import registry
from holdfast_server.services.access import current_viewer
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.query import Found, Position, SearchQuery
from holdfast_server.services.search.walk import walk


def walk_history(
    tx: Transaction, name: str, version: int, after: Position | None, limit: int
) -> Iterator[Found[RecordedChange]]:
    """Changes of a model, or of one of its versions, newest first, from the one after ``after`` on.

    Raises:
        NotFound: REGISTERED_MODEL_NOT_FOUND, there never was a registered model of this name.
    """
    viewer = current_viewer()
    if after is None and not tx.registry_history.list_before(name, 0, None, 1, viewer):
        registry.get_registered_model(tx, name)

    def search(_: SearchQuery, after: Position | None, most: int) -> list[Found[RecordedChange]]:
        before = int(after[0]) if after else None
        return [Found(c, (c.number,)) for c in tx.registry_history.list_before(name, version, before, most, viewer)]

    return walk(search, SearchQuery(), after, limit)
