"""Rows by the thousand."""

from __future__ import annotations

import pytest

from holdfast_server.storage.sql.bulk import BATCHES, insert_rows
from holdfast_server.storage.sql.connection import sqlite3

BATCH = BATCHES[0]


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH, 3 * BATCH + 7])
def test_rows_of_any_number_are_inserted_in_order(count):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
    rows = [(f"{number}", bytes([number % 256])) for number in range(count)]
    insert_rows(connection, "t (a, b)", rows)
    assert connection.execute("SELECT a, b FROM t ORDER BY id").fetchall() == rows


def test_a_row_that_breaks_a_constraint_is_an_error():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a UNIQUE)")
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(connection, "t (a)", [(number % (BATCH - 1),) for number in range(BATCH)])
