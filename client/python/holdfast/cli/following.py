"""What the commands ``tail`` of runs, experiments and models share: events as lines, until there is an end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from holdfast._own_tags import is_own_field
from holdfast.cli.json_output import json_text
from holdfast.cli.tables import printable
from holdfast.cli.times import time_text
from holdfast.entities import Event

if TYPE_CHECKING:
    from holdfast._watching import Watch

F = TypeVar("F", bound=Callable[..., object])

_TYPES = ("CREATED", "UPDATED", "METRICS", "ARTIFACTS", "DELETED", "RESTORED", "LOST", "RETURNED", "PURGED")
_WORDS = {
    "CREATED": "created",
    "DELETED": "deleted",
    "RESTORED": "restored",
    "PURGED": "gone for good",
    "LOST": "lost: its client gives no sign of life",
    "RETURNED": "its client is back",
}
_TIME_WIDTH = len(time_text(0, seconds=True))
# Digits of ids on a terminal, as in tables.
_SHORT_ID = 10


def cursor_option(of: str) -> Callable[[F], F]:
    """``--cursor``; ``of`` says what is told first without it."""
    return click.option(
        "--cursor", help=f"Go on behind this cursor, which --json prints, instead of telling first how the {of} is."
    )


def types_option() -> Callable[[F], F]:
    """``--type``, several times."""
    return click.option(
        "--type",
        "types",
        multiple=True,
        type=click.Choice(_TYPES, case_sensitive=False),
        metavar="TYPE",
        help=f"Only changes of this type: {', '.join(_TYPES[:-1])} or {_TYPES[-1]}; several times.",
    )


def print_events(
    watch: Watch,
    lines: Callable[[Event], Iterable[str]],
    ends: Callable[[Event], bool],
    *,
    was_over: bool,
    as_json: bool,
) -> None:
    """Print events until one of them, or the server, ends the watch.

    Args:
        watch: Where they come from.
        lines: What people read of one.
        ends: Whether nothing is to be expected behind one.
        was_over: Nothing is to be expected but what is there already.
        as_json: One JSON object for each, in place of lines.
    """
    while True:
        try:
            event = watch.wait()
        except StopIteration:
            return
        if event is None:
            if was_over:
                return
            continue
        if as_json:
            click.echo(json_text(event.to_dictionary()))
        else:
            for line in lines(event):
                click.echo(line)
        if ends(event):
            return


def event_lines(event: Event, who: str | None = None) -> Iterator[str]:
    """Lines that tell of an event.

    Args:
        event: A change, no state.
        who: What changed, to be named on each line; None where all are about one run.
    """
    at = event.timestamp
    if event.type in _WORDS:
        word = _WORDS[event.type]
        yield event_line(at, event.subject.lower(), word) if who is None else event_line(at, word, "", who)
    for change in event.changes:
        if is_own_field(change.field):
            continue
        if event.type in {"CREATED", "UPDATED"} and change.field != "end_time":
            yield _change_line(at, change.field, change.new_value, who)
        elif event.type == "ARTIFACTS":
            yield event_line(at, "artifacts", f"snapshot {change.new_value}", who)
    for metric in event.metrics:
        points = f", {metric.point_count} points" if metric.point_count > 1 else ""
        yield event_line(at, "metric", f"{metric.key} = {metric.value:g} (step {metric.step}{points})", who)
    if event.truncated:
        yield event_line(at, "more", "not all is told here; read the whole to see it", who)


def event_line(at: int | None, what: str, text: str, who: str | None = None) -> str:
    """One line: when, which, what of it, and the value; ``at`` is None where that is not recorded."""
    which = "" if who is None else f"{printable(who)}  "
    return f"{time_text(at, seconds=True):<{_TIME_WIDTH}}  {which}{what:<9}  {printable(text)}".rstrip()


def short_id(text: str) -> str:
    """An id on a line that has more to say: its beginning on a terminal, all of it in a pipe."""
    digits = text.removeprefix("m-")
    return text[: len(text) - len(digits) + _SHORT_ID] if sys.stdout.isatty() else text


def _change_line(at: int | None, field: str, value: str | None, who: str | None) -> str:
    kind, _, key = field.partition(".")
    what = kind.removesuffix("s") if kind != "status" else kind
    if key:
        return event_line(at, what, f"{key} = {value}" if value is not None else f"{key} removed", who)
    return event_line(at, what, value if value is not None else "removed", who)
