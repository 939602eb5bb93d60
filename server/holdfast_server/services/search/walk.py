"""Goes through what a search finds in pieces, so that a page that ends early has not read what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from holdfast_server.domain.model import ModelData, ModelInfo
from holdfast_server.domain.run import RunData, RunInfo
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.mask import Mask
from holdfast_server.services.search.query import Found, Position, SearchQuery

T = TypeVar("T")
D = TypeVar("D")
# Finding may sort all that matches, so it is done for many at once; loading is what costs memory.
MOST_FOUND, FIRST_LOADED, MOST_LOADED = 2_000, 16, 512
# Params, tags and metrics loaded at a time: at most about 100 MiB, however the runs are.
MOST_ITEMS = 20_000
Search = Callable[[SearchQuery, Position | None, int], list[Found[T]]]


def walk(search: Search[T], query: SearchQuery, after: Position | None, limit: int) -> Iterator[Found[T]]:
    """At least ``limit`` of what a search finds after a position, one by one, or all that is there."""
    size = min(limit, FIRST_LOADED)
    while True:
        found = search(query, after, size)
        yield from found
        if len(found) < size:
            return
        after, size = found[-1].position, min(size * 4, MOST_LOADED)


def walk_runs(
    tx: Transaction, mask: Mask, query: SearchQuery, after: Position | None, limit: int
) -> Iterator[Found[tuple[RunInfo, RunData]]]:
    """Like ``walk``: runs with what is wanted of what they logged."""
    for found in _pieces(tx.runs.search, query, after, limit):
        yield from _loaded(found, partial(_load_runs, tx, mask), _run_number, _run_weight)


def walk_found_runs(
    tx: Transaction, mask: Mask, query: SearchQuery, found: Sequence[Found[RunInfo]]
) -> Iterator[Found[tuple[RunInfo, RunData]]]:
    """Like ``walk_runs`` over what an earlier transaction found, without another search.

    Runs come as they are now, but in the places where they were found; those that match no more are passed over.
    """

    def load(runs: Sequence[RunInfo]) -> Mapping[int, tuple[RunInfo, RunData]]:
        return _load_runs(tx, mask, tx.runs.search_among([run.number for run in runs], query))

    return _loaded(found, load, _run_number, _run_weight)


def walk_models(
    tx: Transaction, mask: Mask, query: SearchQuery, after: Position | None, limit: int
) -> Iterator[Found[tuple[ModelInfo, ModelData]]]:
    """Like ``walk``: logged models with what is wanted of what they hold."""

    def load(models: Sequence[ModelInfo]) -> Mapping[int, tuple[ModelInfo, ModelData]]:
        data = tx.models.load_data(models, mask, query.visible_to)
        return {model.number: (model, data[model.number]) for model in models}

    for found in _pieces(tx.models.search, query, after, limit):
        yield from _loaded(
            found,
            load,
            lambda model: model.number,
            # Their tags may be a hundred thousand characters long.
            lambda d: len(d.params) + 16 * len(d.tags) + len(d.metrics) + len(d.registrations),
        )


def _load_runs(tx: Transaction, mask: Mask, runs: Sequence[RunInfo]) -> Mapping[int, tuple[RunInfo, RunData]]:
    data = tx.runs.load_data([run.number for run in runs], mask)
    return {run.number: (run, data[run.number]) for run in runs}


def _run_number(run: RunInfo) -> int:
    return run.number


def _run_weight(data: RunData) -> int:
    # A description of a dataset may be large.
    return len(data.params) + len(data.tags) + len(data.metrics) + 16 * len(data.dataset_inputs)


def _pieces(search: Search[T], query: SearchQuery, after: Position | None, limit: int) -> Iterator[list[Found[T]]]:
    size = min(limit, MOST_FOUND)
    while True:
        found = search(query, after, size)
        if found:
            yield found
        if len(found) < size:
            return
        after = found[-1].position


def _loaded(
    found: Sequence[Found[T]],
    load: Callable[[Sequence[T]], Mapping[int, tuple[T, D]]],
    number: Callable[[T], int],
    weigh: Callable[[D], int],
) -> Iterator[Found[tuple[T, D]]]:
    """Pair items with their data, loaded for more of them at a time the lighter they are; without what is not there."""
    start, size = 0, FIRST_LOADED
    while start < len(found):
        piece = found[start : start + size]
        loaded = load([one.item for one in piece])
        for one in piece:
            if (pair := loaded.get(number(one.item))) is not None:
                yield Found(pair, one.position)
        weight = sum(weigh(data) for _, data in loaded.values()) // len(piece)
        start += len(piece)
        size = max(1, min(size * 8, MOST_LOADED, MOST_ITEMS // (weight + 1)))
