"""Finds the few rows that can match, when a condition shows that there are few, so that a search can begin with them.

Walking along an ordering and looking up what each row has is quick when many rows match, and reads everything when few
do. How many there are is not estimated: an index is asked, up to a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast_server.services.search.query import Condition, Kind, Operator, Scalar, SearchQuery
from holdfast_server.storage.sql.conditions import compare, compare_metric
from holdfast_server.storage.sql.connection import Connection

if TYPE_CHECKING:
    from holdfast_server.storage.sql.search import Searchable

# So many rows are joined and sorted in some 5 ms, as long as finding a page of 100 among 100,000 takes when 4% match.
FEW = 4_000
_SELECTIVE = frozenset({Operator.EQ, Operator.IN, Operator.IS_NOT_NULL})
_RANGES = frozenset({Operator.LT, Operator.LE, Operator.GT, Operator.GE})
# These look at all values of their key, so they come last.
_PATTERNS = frozenset({Operator.LIKE, Operator.ILIKE})


@dataclass(frozen=True, slots=True)
class Few:
    """Rows to begin a search with: all that meet ``condition``, or any. ``numbers`` is a JSON array."""

    numbers: str
    condition: Condition | None = None


def find_few(connection: Connection, table: Searchable, query: SearchQuery) -> Few | None:
    """The rows that meet a condition which few meet; None when there is no such condition."""
    for operators in (_SELECTIVE, _RANGES, _PATTERNS):
        for condition in query.conditions:
            if condition.operator in operators and condition.kind in table.by_value:
                few = _matching(connection, table, condition)
                if few is not None:
                    return few
    return None


def are_few(connection: Connection, source: str, where: str, values: Sequence[Scalar]) -> bool:
    """Whether few rows of a source meet an expression that an index answers."""
    statement = f"SELECT 1 FROM {source} WHERE {where} LIMIT 1 OFFSET ?"  # noqa: S608 - of constants
    return connection.execute(statement, (*values, FEW)).fetchone() is None


def _matching(connection: Connection, table: Searchable, condition: Condition) -> Few | None:
    """The rows that meet a condition; None when they are many.

    They stay in SQLite: thousands of numbers take longer to become Python's than to be found.
    """
    if condition.kind is Kind.METRIC:
        source = table.metrics
        compared, values = compare_metric("x", condition)
    else:
        source = table.pairs[condition.kind]
        # That a key is there at all is known from the key.
        is_there = condition.operator is Operator.IS_NOT_NULL
        compared, values = ("1 = 1", ()) if is_there else compare("x.value", condition)
    source = f"{source} x INDEXED BY {table.by_value[condition.kind]}"
    where, values = f"x.key = ? AND {compared}", (condition.key, *values)
    # Passing over entries takes half the time that gathering them does, unless each is compared with a pattern.
    if condition.operator not in _PATTERNS and not are_few(connection, source, where, values):
        return None
    count, numbers = connection.execute(
        "SELECT COUNT(*), json_group_array(number) FROM ("  # noqa: S608 - of constants
        f"SELECT x.{table.number} AS number FROM {source} WHERE {where} LIMIT ?)",
        (*values, FEW + 1),
    ).fetchone()
    return Few(numbers, condition) if count <= FEW else None
