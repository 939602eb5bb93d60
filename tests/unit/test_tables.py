"""Tables of the command line."""

from __future__ import annotations

import io
import sys

import pytest

from holdfast.cli import tables
from holdfast.cli.tables import Column, can_show, display_width, print_pairs, print_table, printable, shortened


def test_in_a_pipe_nothing_is_cut(capsys):
    print_table([Column("NAME"), Column("N", right=True), Column("X")], [("a" * 300, "1", ""), ("b", "20", "é")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{'NAME':<300}   N  X"
    assert lines[1] == f"{'a' * 300}   1"
    assert lines[2] == f"{'b':<300}  20  é"


def test_of_many_rows_those_that_are_there_are_printed(capsys, monkeypatch):
    monkeypatch.setattr(tables, "_ROWS", 2)
    printed = []

    def rows():
        for number in range(5):
            printed.append(capsys.readouterr().out)
            yield (f"{'x' * number}|", "y")

    print_table([Column("A\x1b"), Column("B")], rows())
    printed.append(capsys.readouterr().out)
    # Columns become wider where they must, and never narrower.
    assert printed[2] == "A\\x1b  B\n|      y\nx|     y\n"
    assert "".join(printed) == printed[2] + "xx|    y\nxxx|   y\nxxxx|  y\n"


def test_a_table_without_rows_has_titles(capsys):
    print_table([Column("A"), Column("B")], [])
    assert capsys.readouterr().out == "A  B\n"


def test_letters_that_cannot_be_shown_are_escaped_before_the_layout(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert printable("é 文") == "é \\u6587"
    assert not can_show("文")


def test_names_stand_before_their_values(capsys):
    print_pairs([("a", "1"), ("long", "two\nlines")])
    assert capsys.readouterr().out == "a     1\nlong  two lines\n"


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (200, [20, 30, 10]),
        (60, [20, 30, 10]),
        (59, [20, 29, 10]),
        (45, [20, 15, 10]),
        (39, [20, 9, 10]),
        (30, [20, 8, 8]),
    ],
)
def test_the_widest_gives_way_first(room, expected):
    widths = [20, 30, 10]
    tables._shrink(widths, [Column("A", keep=True), Column("B"), Column("C")], room)
    assert widths == expected


FOUR = [
    Column("ID", keep=True, short=lambda text: text[:10]),
    Column("EXPERIMENT", keep=True, short_title="EXP"),
    Column("TIME", keep=True, short=lambda text: text[:16]),
    Column("NAME"),
]
ROWS = [["i" * 32, "7", "t" * 19, "n" * 30]]


@pytest.mark.parametrize(
    ("room", "titles"),
    [
        pytest.param(None, ["ID", "EXPERIMENT", "TIME", "NAME"], id="in a pipe"),
        pytest.param(87, ["ID", "EXPERIMENT", "TIME", "NAME"], id="what gives way stays readable"),
        pytest.param(86, ["ID", "EXP", "TIME", "NAME"], id="short forms"),
        pytest.param(43, ["ID", "EXP", "TIME", "NAME"], id="short forms, and what is cut"),
        pytest.param(42, ["ID", "EXP", "TIME"], id="without what would be cut too much"),
        pytest.param(32, ["ID", "EXP"], id="without a column that is never cut"),
        pytest.param(5, ["ID"], id="the first stays"),
    ],
)
def test_short_forms_come_before_cuts_and_cuts_before_columns_are_left_out(room, titles):
    layout = tables._layout(FOUR, ROWS, room)
    shown = [FOUR[at].shortened() if layout.is_short else FOUR[at] for at in layout.shown]
    assert [column.title for column in shown] == titles
    assert layout.cells(FOUR, ROWS[0])[0] == "i" * (10 if layout.is_short else 32)


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("文字文字", 8, "文字文字"),
        ("文字文字", 7, "文字文…"),
        ("文字文字", 6, "文字…"),
        ("e\u0301a", 2, "e\u0301a"),
    ],
)
def test_texts_are_cut_by_the_columns_they_take(text, width, expected):
    assert shortened(text, width) == expected
    assert display_width(expected) <= width


def test_texts_cannot_steer_the_terminal():
    assert printable("a\x1b[2J\r\nb\u202e\x00\u2028") == "a\\x1b[2J  b\\u202e\\x00 "
