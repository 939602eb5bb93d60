"""Long runs and models in parts: their lists one after the other, from any place on.

A position is the number of a list and the key of the last item taken of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast_server.domain.experiment import Tag
from holdfast_server.domain.model import ModelInfo
from holdfast_server.domain.run import RunInfo
from holdfast_server.services.access import current_viewer
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.query import Position

PIECE = 500
SMALL_PIECE = 4  # descriptions of datasets can be large
# Read one list from after a key on; returns items with their keys.
_Lister = Callable[[Position, int], Sequence[tuple[Any, Position]]]


@dataclass(frozen=True, slots=True)
class Part:
    """An item of one of the lists of a run or model."""

    list_name: str
    item: Any
    position: Position


def run_parts(tx: Transaction, run: RunInfo, after: Position | None) -> Iterator[Part]:
    """Everything that a run logged, list by list."""
    number, runs = run.number, tx.runs
    return _parts(
        [
            ("params", ("",), _by_key(lambda key, n: runs.list_params(number, key, n))),
            ("tags", ("",), _by_key(lambda key, n: runs.list_tags(number, key, n))),
            ("metrics", ("",), _by_key(lambda key, n: runs.list_latest_metrics(number, key, n))),
            (
                "dataset_inputs",
                (0,),
                lambda k, n: [(item, (at,)) for at, item in runs.list_dataset_inputs(number, int(k[0]), n)],
            ),
            ("model_inputs", ("",), lambda k, n: [(m, (m,)) for m in runs.list_model_inputs(number, str(k[0]), n)]),
            (
                "model_outputs",
                ("",),
                lambda k, n: [(o, (o.model_id,)) for o in runs.list_model_outputs(number, str(k[0]), n)],
            ),
        ],
        after,
    )


def tag_parts(tags: Sequence[Tag]) -> Iterator[Part]:
    """Everything that a new run has, which need not be read: its tags."""
    return (Part("tags", tag, ()) for tag in tags)


def model_parts(tx: Transaction, model: ModelInfo, after: Position | None) -> Iterator[Part]:
    """Everything that a logged model holds, list by list."""
    number, models, viewer = model.number, tx.models, current_viewer()
    return _parts(
        [
            ("params", ("",), _by_key(lambda key, n: models.list_params(number, key, n))),
            ("tags", ("",), _by_key(lambda key, n: models.list_tags(number, key, n))),
            (
                "metrics",
                ("", "", ""),
                lambda k, n: [
                    (m, (m.key, m.dataset_name, m.dataset_digest))
                    for m in models.list_metrics(number, (str(k[0]), str(k[1]), str(k[2])), n)
                ],
            ),
            (
                "registrations",
                ("", 0),
                lambda k, n: [
                    (r, (r.name, r.version))
                    for r in models.list_registrations(model.id, viewer, (str(k[0]), int(k[1])), n)
                ],
            ),
        ],
        after,
    )


def _parts(lists: Sequence[tuple[str, Position, _Lister]], after: Position | None) -> Iterator[Part]:
    first = int(after[0]) if after else 0
    for index, (name, start, read) in enumerate(lists):
        if index < first:
            continue
        key = after[1:] if after and index == first else start
        size = SMALL_PIECE if name == "dataset_inputs" else PIECE
        more = True
        while more:
            items = read(key, size)
            for item, key in items:
                yield Part(name, item, (index, *key))
            more = len(items) == size


def _by_key(read: Callable[[str, int], Sequence[Any]]) -> _Lister:
    return lambda position, limit: [(item, (item.key,)) for item in read(str(position[0]), limit)]
