"""Parses which lists of a run or logged model an answer is to hold, and of which keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast_server.domain.names import check_count, check_given_key, shown
from holdfast_server.errors import InvalidArgument

MAX_FIELDS = 1_000
# The lists of each, in the order in which errors name them.
RUN_LISTS = ("params", "tags", "metrics", "dataset_inputs", "model_inputs", "model_outputs")
MODEL_LISTS = ("params", "tags", "metrics", "registrations")
_KEYED = frozenset({"params", "tags", "metrics"})
# What every answer holds; named to ask for nothing else.
_ATTRIBUTES = "attributes"
_FIELD = "fields"

# The keys wanted of a list; None for all of it.
Keys = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Mask:
    """The lists wanted, by name; one that is not there is left out. ``lists`` None: everything."""

    lists: Mapping[str, Keys] | None = None

    def keys(self, name: str) -> Keys:
        """The keys wanted of a list: None for all, an empty tuple for a list that is left out."""
        return None if self.lists is None else self.lists.get(name, ())

    def wants(self, name: str) -> bool:
        """Whether anything of a list is wanted."""
        return self.lists is None or name in self.lists


EVERYTHING = Mask()


def parse_mask(fields: Sequence[str], lists: Iterable[str]) -> Mask:
    """What is asked for by texts such as ``metrics.loss``, ``params.*``, ``params`` or ``attributes``.

    Args:
        fields: None at all asks for everything.
        lists: What there is to ask for.

    Raises:
        InvalidArgument: A text names no list or no possible key, or there are too many.
    """
    if not fields:
        return EVERYTHING
    check_count(len(fields), MAX_FIELDS, what="fields", field=_FIELD)
    lists = tuple(lists)
    wanted: dict[str, set[str] | None] = {}
    for text in fields:
        name, dot, key = text.partition(".")
        if text == _ATTRIBUTES:
            continue
        if name not in lists or (dot and name not in _KEYED):
            raise _unknown(text, lists)
        if not dot or key == "*":
            wanted[name] = None
            continue
        check_given_key(key, what=f"The key of the field {shown(text, 40)}", field=_FIELD)
        keys = wanted.setdefault(name, set())
        if keys is not None:  # not all of the list already
            keys.add(key)
    return Mask({name: None if keys is None else tuple(sorted(keys)) for name, keys in wanted.items()})


def _unknown(text: str, lists: Iterable[str]) -> InvalidArgument:
    choices = [f"{name}, {name}.<key>" if name in _KEYED else name for name in lists]
    return InvalidArgument(
        f"There is no field {shown(text, 80)}; use {_ATTRIBUTES}, {', '.join(choices)}.", field=_FIELD
    )
