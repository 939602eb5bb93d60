"""Compares answers with what a scenario expects of them.

Objects have exactly the fields that are expected, but for the answer itself, which may have more. In place of a value
stands ``{$any: true}`` for one that is not empty, ``{$contains: text}``, ``{$matches: pattern}``, ``{$in: [values]}``,
``{$least: number, $most: number}``, or ``{$subset: {…}}`` for an object that may have further fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from client.conformance.runner.drivers import shortened

_MATCHERS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "$any": ("something", lambda found, wanted: bool(found) is wanted),
    "$contains": ("a text with", lambda found, wanted: isinstance(found, str) and wanted in found),
    "$matches": ("a text like", lambda found, wanted: isinstance(found, str) and bool(re.fullmatch(wanted, found))),
    "$in": ("one of", lambda found, wanted: found in wanted),
    "$least": ("at least", lambda found, wanted: _is_number(found) and found >= wanted),
    "$most": ("at most", lambda found, wanted: _is_number(found) and found <= wanted),
}


def difference(found: Any, expected: Any, where: str = "the answer") -> str:
    """How what came differs from what was expected; empty if it does not."""
    if isinstance(expected, Mapping):
        if any(str(key).startswith("$") for key in expected):
            return _matched(found, expected, where)
        if not isinstance(found, Mapping):
            return _told(where, expected, found)
        unexpected = [str(key) for key in found if key not in expected]
        if unexpected:
            return f"{where} has what was not expected: {', '.join(sorted(unexpected)[:5])}"
        return _fields(found, expected, where)
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return _items(found, expected, where)
    if _is_number(expected):
        same = _is_number(found) and found == expected
    else:
        same = type(found) is type(expected) and found == expected
    return "" if same else _told(where, expected, found)


def fields_difference(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> str:
    """The same for an object that may have further fields."""
    return _fields(found, expected, where)


def _fields(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> str:
    for key, value in expected.items():
        if key not in found:
            return f"{where} lacks {key!r}, which was expected to be {shortened(value)}"
        told = difference(found[key], value, f"{where}[{key!r}]")
        if told:
            return told
    return ""


def _items(found: Any, expected: Sequence[Any], where: str) -> str:
    if not isinstance(found, list):
        return _told(where, expected, found)
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        told = difference(one, other, f"{where}[{number}]")
        if told:
            return told
    if len(found) != len(expected):
        more = found[len(expected) :] or expected[len(found) :]
        which = "more, such as" if len(found) > len(expected) else "and lacks such as"
        return f"{where} has {len(found)} items in place of {len(expected)}, {which} {shortened(more[0])}"
    return ""


def _matched(found: Any, expected: Mapping[str, Any], where: str) -> str:
    for name, wanted in expected.items():
        if name == "$subset":
            told = _fields(found, wanted, where) if isinstance(found, Mapping) else _told(where, wanted, found)
            if told:
                return told
            continue
        text, holds = _MATCHERS[name]
        if not holds(found, wanted):
            return f"{where} was expected to be {text} {shortened(wanted)}, and is {shortened(found)}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _told(where: str, expected: Any, found: Any) -> str:
    return f"{where} was expected to be {shortened(expected)}, and is {shortened(found)}"
