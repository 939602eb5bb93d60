"""SQL that compares a column with the values of a condition; everything that callers send is bound."""

from __future__ import annotations

from holdfast_server.services.search.query import Condition, Operator, Scalar
from holdfast_server.storage.sql.blocks import marks

_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def compare(sql: str, condition: Condition) -> tuple[str, tuple[Scalar, ...]]:
    """An expression that says whether ``sql`` meets a condition, with its values."""
    operator, values = condition.operator, condition.values
    if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
        return f"{sql} {operator.value}", ()
    if operator in {Operator.IN, Operator.NOT_IN}:
        return f"{sql} {operator.value} ({marks(len(values))})", values
    if operator is Operator.LIKE:
        # SQLite's LIKE ignores case; GLOB is the one that does not.
        return f"{sql} GLOB ?", (_glob(str(values[0])),)
    if operator is Operator.ILIKE:
        return f"{sql} LIKE ?", values
    return f"{sql} {operator.value} ?", values


def compare_metric(row: str, condition: Condition) -> tuple[str, tuple[Scalar, ...]]:
    """The same for a row of metrics: NaN differs from every number and is in no other relation to any."""
    compared, values = compare(f"{row}.value", condition)
    if condition.operator is Operator.NE:
        return f"({row}.special = 1 OR {compared})", values
    return f"{row}.special != 1 AND {compared}", values


def _glob(pattern: str) -> str:
    """A LIKE pattern as GLOB writes it."""
    return pattern.translate(_GLOB)
