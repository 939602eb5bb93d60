"""The tables leave out no method, and no field that takes what callers make up."""

from __future__ import annotations

import importlib
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from tests.fuzz.messages import methods
from tests.rpc.bad_input.cases import Case

HERE = Path(__file__)
LEAST = 150
# Any value is right, or none is looked at.
FREE = {"metrics.step", "metrics.run_id", "models.step"}


class _Anything(dict):  # type: ignore[type-arg]
    def __missing__(self, key: str) -> str:
        return "AAAAAAAA"


class _World:
    """What cases ask of a world, without one."""

    live_id = writer = "0" * 32
    tokens = _Anything()
    secrets = _Anything()


def cases() -> list[Case]:
    """All rows of all tables, which are in the modules beside this one."""
    names = sorted(path.stem for path in HERE.parent.glob("test_*.py") if path != HERE)
    modules = [importlib.import_module(f"tests.rpc.bad_input.{name}") for name in names]
    lists = [value for module in modules for value in vars(module).values() if isinstance(value, list)]
    rows = [row.values[0] for row in itertools.chain(*lists) if hasattr(row, "values") and row.values]
    return [row for row in rows if isinstance(row, Case)]


def fields_of(descriptor: Descriptor, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """The fields of a kind of message and of those within it; those of a flag have nothing wrong."""
    for field in descriptor.fields:
        if field.message_type is not None and depth < 4:
            yield from fields_of(field.message_type, f"{prefix}{field.name}.", depth + 1)
        elif field.type not in {FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_DOUBLE}:
            yield f"{prefix}{field.name}"


def set_in(message: Any, prefix: str = "") -> Iterator[str]:
    """The fields that a message has set, and of those within it."""
    for field, value in message.ListFields():
        if isinstance(value, Message):
            yield f"{prefix}{field.name}"
            yield from set_in(value, f"{prefix}{field.name}.")
        elif field.message_type is not None:
            # Of millions of them the first say what all are.
            first = itertools.islice(value, 100)
            yield from itertools.chain.from_iterable(set_in(one, f"{prefix}{field.name}.") for one in first)
        else:
            yield f"{prefix}{field.name}"


def tried() -> dict[str, set[str]]:
    """The fields that cases set, by method."""
    types = {f"{m.containing_service.name}/{m.name}": GetMessageClass(m.input_type) for m in methods()}
    found: dict[str, set[str]] = {name: set() for name in types}
    for case in cases():
        if case.method not in types:
            continue
        for data in case.messages(_World()):  # type: ignore[arg-type]
            try:
                found[case.method].update(set_in(types[case.method].FromString(data)))
            except DecodeError:
                continue
    return found


def test_there_are_enough_cases_and_none_is_there_twice() -> None:
    seen = Counter((case.method, repr(case.request), case.metadata) for case in cases() if not callable(case.request))
    assert [key for key, count in seen.items() if count > 1] == []
    assert len(seen) >= LEAST


def test_every_field_that_callers_fill_is_in_a_table() -> None:
    found = tried()
    missing = {
        f"{service}/{m.name}": fields
        for m in methods()
        if (service := m.containing_service.name)
        and (fields := sorted(set(fields_of(m.input_type)) - found[f"{service}/{m.name}"] - FREE))
    }
    assert missing == {}
