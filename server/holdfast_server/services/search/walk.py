"""Goes through what a search finds in pieces, so that a page that ends early has not read what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from holdfast_server.domain.model import ModelData, ModelInfo
from holdfast_server.domain.run import RunData, RunInfo
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.query import Found, Position, SearchQuery

T = TypeVar("T")
FIRST_PIECE, LARGEST_PIECE = 64, 512
Search = Callable[[SearchQuery, Position | None, int], list[Found[T]]]


def pieces(search: Search[T], query: SearchQuery, after: Position | None) -> Iterator[list[Found[T]]]:
    """All that a search finds after a position; pieces grow, so that short pages read little."""
    size = FIRST_PIECE
    while True:
        found = search(query, after, size)
        if found:
            yield found
        if len(found) < size:
            return
        after, size = found[-1].position, min(size * 2, LARGEST_PIECE)


def walk(search: Search[T], query: SearchQuery, after: Position | None) -> Iterator[Found[T]]:
    """One by one what a search finds after a position."""
    for piece in pieces(search, query, after):
        yield from piece


def walk_runs(tx: Transaction, query: SearchQuery, after: Position | None) -> Iterator[Found[tuple[RunInfo, RunData]]]:
    """Runs with what they logged, read a piece at a time."""
    for piece in pieces(tx.runs.search, query, after):
        data = tx.runs.load_data([found.item.number for found in piece])
        for found in piece:
            yield Found((found.item, data[found.item.number]), found.position)


def walk_models(
    tx: Transaction, query: SearchQuery, after: Position | None
) -> Iterator[Found[tuple[ModelInfo, ModelData]]]:
    """Logged models with what they hold, read a piece at a time."""
    for piece in pieces(tx.models.search, query, after):
        data = tx.models.load_data([found.item for found in piece])
        for found in piece:
            yield Found((found.item, data[found.item.number]), found.position)
