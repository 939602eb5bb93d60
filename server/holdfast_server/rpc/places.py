"""What the requests of RPCs are about, as what roles are given on: finders that the policy names.

A finder returns nothing for what is not there or cannot be: such a call is answered by whoever handles it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from holdfast_server.domain.access import ResourceKind
from holdfast_server.domain.event import Subject
from holdfast_server.domain.names import shown
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.page_tokens import sequence_of_token
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.page_token import open_token

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


class Place(NamedTuple):
    """Something that roles are given on. ``kind`` None: the whole server; ``anywhere``: wherever one has most."""

    kind: ResourceKind | None
    number: int = 0
    name: str = "the whole server"
    anywhere: bool = False


SERVER = Place(None)
ANYWHERE = Place(None, name="any experiment or registered model", anywhere=True)

Readable = Callable[[Place], bool]
# Takes a transaction, the request, and what tells whether the caller may read a place.
Find = Callable[[Transaction, Any, Readable], Iterable[Place]]


def server(_tx: Transaction, _request: Any, _readable: Readable) -> list[Place]:
    """The whole server."""
    return [SERVER]


def anywhere(_tx: Transaction, _request: Any, _readable: Readable) -> list[Place]:
    """Wherever the caller has most."""
    return [ANYWHERE]


def experiment(field: str = "experiment_id", *, default: str = "") -> Find:
    """The experiment whose id is in a field."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        return _experiment(tx, _text_of(request, field) or default)

    return find


def experiment_named(field: str) -> Find:
    """The experiment whose name is in a field."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        found = tx.experiments.find(_text_of(request, field))
        return [] if found is None else [_experiment_place(found.id)]

    return find


def run(field: str = "run_id") -> Find:
    """The experiment of the run whose id is in a field."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        return _of_run(tx, _text_of(request, field))

    return find


def model(field: str = "model_id") -> Find:
    """The experiment of the logged model whose id is in a field."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        return _of_models(tx, [_text_of(request, field)])

    return find


def models_among(*fields: str) -> Find:
    """The experiments of the logged models that the items of lists name as ``model_id``."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        lists = [_field_of(request, path) for path in fields]
        return _of_models(tx, {item.model_id for items in lists for item in items if item.model_id})

    return find


def registered_model(field: str = "name") -> Find:
    """The registered model whose name is in a field."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        return _registered(tx, _text_of(request, field))

    return find


def registered_model_or_server(field: str = "name", *, create: str = "") -> Find:
    """The registered model whose name is in a field; the server when it is to be created.

    ``create`` is the field that asks for that; empty: it is always asked for.
    """

    def find(tx: Transaction, request: Any, readable: Readable) -> list[Place]:
        found = _registered(tx, _text_of(request, field))
        if (not create or getattr(request, create)) and not (found and readable(found[0])):
            return [SERVER, *found]  # where a name is taken by what must not be known, as where it is free
        return found

    return find


def live_artifact(field: str = "live_id") -> Find:
    """The experiment of the owner of the live artifact whose id is in a field."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        live = tx.live.get(_text_of(request, field))
        return [] if live is None else _of_owner(tx, live.owner.id)

    return find


def uri(field: str = "uri") -> Find:
    """What an artifact URI goes by: the experiment of its run or logged model, or its registered model."""

    def find(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
        return _of_uri(tx, _text_of(request, field))

    return find


def experiment_or_run(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
    """Where a logged model is to be: an experiment, else that of its run, else Default."""
    if request.experiment_id:
        return _experiment(tx, request.experiment_id)
    return _of_run(tx, request.source_run_id) if request.source_run_id else _experiment(tx, "0")


def owner(tx: Transaction, request: Any, _readable: Readable) -> list[Place]:
    """The experiment of a tree's owner."""
    return _of_owner(tx, _owner_id(request))


def snapshot(tx: Transaction, request: Any, readable: Readable) -> list[Place]:
    """The experiment of a tree's owner; or a registered model that shows the snapshot and path, if that can be read.

    Who may read a registered model may read what its versions show, wherever that was logged, and nothing beside it.
    """
    owner_id = _owner_id(request)
    own = _of_owner(tx, owner_id)
    sequence = request.sequence if request.HasField("sequence") else None
    if getattr(request, "page_token", ""):
        sequence = sequence_of_token(request.page_token)  # which is what counts when there is one
    if sequence is None or (own and readable(own[0])):
        return own
    pins = tx.access.pins(owner_id, sequence)
    places = [Place(ResourceKind.REGISTERED_MODEL, pin.registered_model) for pin in pins]
    for pin, place in zip(pins, places, strict=True):
        # GetTree has no path: it tells of the whole tree.
        if readable(place) and _is_below(getattr(request, "path", ""), pin.path):
            return [place]
    return own or places[:1]


def watched(method: str, field: str, by_name: Find) -> Find:
    """What a watch names, and what its cursor goes on with, which may have got another name, or be gone."""

    def find(tx: Transaction, request: Any, readable: Readable) -> list[Place]:
        cursor = (method, _text_of(request, field)), request.cursor
        return [*by_name(tx, request, readable), *(_of_cursor(tx, *cursor) if request.cursor else [])]

    return find


def _of_cursor(tx: Transaction, watched: tuple[str, str], cursor: str) -> list[Place]:
    try:
        subject, number, experiment_id, _ = open_token(tx.page_token_key, watched, cursor)
    except InvalidArgument:
        return []
    if Subject(subject) is Subject.REGISTERED_MODEL:
        # Of one that is gone nobody has a grant: the role on the server counts.
        return [Place(ResourceKind.REGISTERED_MODEL, tx.access.number_of_row(int(number)) or -int(number))]
    return [_experiment_place(int(experiment_id))]


def _experiment(tx: Transaction, text: str) -> list[Place]:
    is_there = _NUMBER.fullmatch(text) and tx.access.has_experiment(int(text))
    return [_experiment_place(int(text))] if is_there else []


def _experiment_place(number: int) -> Place:
    return Place(ResourceKind.EXPERIMENT, number, f"experiment {number}")


def _of_run(tx: Transaction, run_id: str) -> list[Place]:
    number = tx.access.experiment_of_run(run_id)
    return [] if number is None else [_experiment_place(number)]


def _of_models(tx: Transaction, model_ids: Iterable[str]) -> list[Place]:
    numbers = set(tx.access.experiments_of_models(list(model_ids)).values())
    return [_experiment_place(number) for number in sorted(numbers)]


def _of_owner(tx: Transaction, owner_id: str) -> list[Place]:
    return _of_models(tx, [owner_id]) if owner_id.startswith("m-") else _of_run(tx, owner_id)


def _owner_id(request: Any) -> str:
    named: str = request.owner.run_id or request.owner.model_id
    return named


def _registered(tx: Transaction, name: str) -> list[Place]:
    number = tx.access.number_of_model(name)
    return [] if number is None else [Place(ResourceKind.REGISTERED_MODEL, number, f"registered model {shown(name)}")]


def _of_uri(tx: Transaction, text: str) -> list[Place]:
    scheme, _, rest = text.partition(":/")
    head = rest.strip("/").partition("/")[0]
    if scheme == "runs":
        return _of_run(tx, head)
    if scheme != "models":
        return []
    return _of_models(tx, [head]) if _MODEL_ID.fullmatch(head) else _registered(tx, head.partition("@")[0])


def _is_below(path: str, directory: str) -> bool:
    return not directory or path == directory or path.startswith(f"{directory}/")


def _text_of(request: Any, path: str) -> str:
    text: str = _field_of(request, path)
    return text


def _field_of(request: Any, path: str) -> Any:
    for name in path.split("."):
        request = getattr(request, name)
    return request


def each(*finders: Find) -> Find:
    """What several finders find."""

    def find(tx: Transaction, request: Any, readable: Readable) -> Iterator[Place]:
        for finder in finders:
            yield from finder(tx, request, readable)

    return find
