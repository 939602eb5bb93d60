"""Tables that fit the terminal. In a pipe nothing is cut, and cells are separated by two spaces or more."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import click

_GAP = "  "
# A column that gives way keeps at least this much, and of what is long so much before ids and times are shortened.
_LEAST, _COMFORTABLE = 8, 20
# So many rows are laid out together.
_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: What stands above it.
        right: Whether its cells end, rather than begin, below each other, as numbers do.
        keep: Whether its cells are never cut, however narrow the terminal is: ids, names and times.
        short: Says what a cell says in less room, for narrow terminals, such as the beginning of an id.
        short_title: What stands above it then.
    """

    title: str
    right: bool = False
    keep: bool = False
    short: Callable[[str], str] | None = None
    short_title: str | None = None

    def shortened(self) -> Column:
        """The column for narrow terminals."""
        return replace(self, title=self.short_title or self.title)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below the titles of their columns.

    On a terminal each row takes one line. Where there is no room, cells that can be shortened are, the widest columns
    without ``keep`` give way, and then the last columns are left out, which is told on standard error. Of very many
    rows a thousand are laid out at once, so that none has to wait for the last, and all are never kept.
    """
    columns = [replace(column, title=printable(column.title)) for column in columns]
    cells = ([printable(cell) for cell in row] for row in rows)
    part = list(islice(cells, _ROWS))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    layout = _layout(columns, part, room)
    shown = [columns[at].shortened() if layout.is_short else columns[at] for at in layout.shown]
    widths = [display_width(column.title) for column in shown]
    titled = False
    while part or not titled:
        part = [layout.cells(columns, row) for row in part]
        # Columns only become wider, so that most rows stand below each other.
        widths = [max([width, *(display_width(row[at]) for row in part)]) for at, width in enumerate(widths)]
        if room is not None:
            _shrink(widths, shown, room - len(_GAP) * (len(shown) - 1))
        if not titled:
            click.echo(click.style(_line([column.title for column in shown], shown, widths), bold=True))
            titled = True
        if part:
            click.echo("\n".join(_line(row, shown, widths) for row in part))
        part = list(islice(cells, _ROWS))
    left_out = [column.title for at, column in enumerate(columns) if at not in layout.shown]
    if left_out:
        click.echo(f"There is no room here for {', '.join(left_out)}.", err=True)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, one below the other; values are whole."""
    width = max((display_width(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{_padded(printable(name), width, right=False)}{_GAP}{printable(value)}".rstrip())


def printable(text: str) -> str:
    """A text on one line, in which nothing moves the cursor or changes the colours of a terminal.

    Letters that the encoding of standard output lacks are escaped too, so that tables are laid out as they are printed.
    """
    shown = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    if shown.isascii() or can_show(shown):
        return shown
    return shown.encode(sys.stdout.encoding or "ascii", "backslashreplace").decode(sys.stdout.encoding or "ascii")


def can_show(text: str) -> bool:
    """Whether the encoding of standard output has all letters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def display_width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_letter_width(letter) for letter in text)


def shortened(text: str, width: int) -> str:
    """A text that takes at most ``width`` columns, with an ellipsis where it was cut."""
    if display_width(text) <= width:
        return text
    kept, taken = [], 1
    for letter in text:
        taken += _letter_width(letter)
        if taken > width:
            break
        kept.append(letter)
    return "".join(kept) + _ellipsis()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns are shown, and whether in their short form."""

    shown: Sequence[int]
    is_short: bool

    def cells(self, columns: Sequence[Column], row: Sequence[str]) -> list[str]:
        """Those of a row that are shown."""
        shorten = [columns[at].short if self.is_short else None for at in self.shown]
        return [short(row[at]) if short else row[at] for at, short in zip(self.shown, shorten, strict=True)]


def _layout(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None) -> _Layout:
    """How a table with these rows fits ``room`` columns of a terminal; None for a pipe, where all fits."""
    layout = _Layout(range(len(columns)), is_short=False)
    if room is None or _needed(columns, rows, layout, _COMFORTABLE) <= room:
        return layout
    layout = _Layout(layout.shown, is_short=True)
    # From the end, and first what would be cut; the first column says what a row is about.
    leaving = [*(at for at in layout.shown if columns[at].keep), *(at for at in layout.shown if not columns[at].keep)]
    while _needed(columns, rows, layout, _LEAST) > room and (others := [at for at in leaving if at]):
        leaving.remove(others[-1])
        layout = _Layout(sorted(leaving), is_short=True)
    return layout


def _needed(columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: _Layout, most: int) -> int:
    """The room that a table needs when columns without ``keep`` have at most ``most``."""
    shown = [columns[at].shortened() if layout.is_short else columns[at] for at in layout.shown]
    lines = [[column.title for column in shown], *(layout.cells(columns, row) for row in rows)]
    widths = [max(map(display_width, cells)) for cells in zip(*lines, strict=True)]
    kept = [width if column.keep else min(width, most) for column, width in zip(shown, widths, strict=True)]
    return sum(kept) + len(_GAP) * (len(shown) - 1)


def _shrink(widths: list[int], columns: Sequence[Column], room: int) -> None:
    """Narrow the widest columns that give way until all fit, or none can give way any more."""
    while sum(widths) > room:
        giving = [at for at, column in enumerate(columns) if not column.keep and widths[at] > _LEAST]
        if not giving:
            return
        widest = max(giving, key=lambda at: widths[at])
        others = [widths[at] for at in giving if widths[at] < widths[widest]]
        # Down to the next widest at once, but not further than is needed.
        goal = max([_LEAST, *others, widths[widest] - (sum(widths) - room)])
        widths[widest] = min(goal, widths[widest] - 1)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    padded = [
        _padded(shortened(cell, width), width, right=column.right)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def _padded(text: str, width: int, *, right: bool) -> str:
    fill = " " * max(0, width - display_width(text))
    return fill + text if right else text + fill


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _escaped(letter: str) -> str:
    if letter.isspace():
        return " "
    return letter.encode("unicode_escape").decode("ascii")


def _ellipsis() -> str:
    return "…" if can_show("…") else "~"
