"""Compiles parsed searches to SQL: conditions as EXISTS, orderings as joins, pages by keyset.

Only names from the tables below become part of a statement; everything that callers send is bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast_server.services.search.query import Condition, Kind, Operator, OrderTerm, Position, Scalar, SearchQuery
from holdfast_server.storage.sql.blocks import marks
from holdfast_server.storage.sql.connection import Connection


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute's SQL. ``order``: what to sort by, when that is another expression."""

    sql: str
    order: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Searchable:
    """What can be searched, row by row of ``t``.

    ``number`` is the column that rows of the tables in ``pairs`` and ``metrics`` hang on.
    """

    source: str
    number: str
    columns: Mapping[str, Column]
    pairs: Mapping[Kind, str] = field(default_factory=dict)
    metrics: str = ""
    has_lifecycle: bool = False
    select: str = "t.*"


RUNS = Searchable(
    source="runs t",
    number="run_no",
    columns={
        "run_id": Column("t.run_id"),
        "run_name": Column("t.run_name"),
        "status": Column("t.status"),
        "user_id": Column("t.user_id"),
        "experiment_id": Column("CAST(t.experiment_id AS TEXT)", "t.experiment_id"),
        "lifecycle_stage": Column("t.lifecycle"),
        "start_time": Column("t.start_time"),
        "end_time": Column("t.end_time", nullable=True),
        "lost": Column("CASE t.lost WHEN 1 THEN 'true' ELSE 'false' END"),
    },
    pairs={Kind.PARAM: "run_params", Kind.TAG: "run_tags"},
    metrics="latest_metrics",
    has_lifecycle=True,
)
EXPERIMENTS = Searchable(
    source="experiments t",
    number="experiment_id",
    columns={
        "name": Column("t.name"),
        "experiment_id": Column("CAST(t.experiment_id AS TEXT)", "t.experiment_id"),
        "lifecycle_stage": Column("t.lifecycle"),
        "creation_time": Column("t.create_time"),
        "last_update_time": Column("t.update_time"),
    },
    pairs={Kind.TAG: "experiment_tags"},
    has_lifecycle=True,
)
LOGGED_MODELS = Searchable(
    source="logged_models t",
    number="model_no",
    columns={
        "model_id": Column("t.model_id"),
        "name": Column("t.name"),
        "model_type": Column("t.model_type"),
        "status": Column("t.status"),
        "source_run_id": Column("t.source_run_id"),
        "experiment_id": Column("CAST(t.experiment_id AS TEXT)", "t.experiment_id"),
        "lifecycle_stage": Column("t.lifecycle"),
        "creation_timestamp": Column("t.create_time"),
        "last_updated_timestamp": Column("t.update_time"),
    },
    pairs={Kind.PARAM: "model_params", Kind.TAG: "model_tags"},
    metrics="model_metrics",
    has_lifecycle=True,
)
REGISTERED_MODELS = Searchable(
    source="registered_models t",
    number="registered_no",
    columns={
        "name": Column("t.name"),
        "creation_timestamp": Column("t.create_time"),
        "last_updated_timestamp": Column("t.update_time"),
    },
    pairs={Kind.TAG: "registered_model_tags"},
)
MODEL_VERSIONS = Searchable(
    source="model_versions t JOIN registered_models r ON r.registered_no = t.registered_no",
    select="t.*, r.name",
    number="version_no",
    columns={
        "name": Column("r.name"),
        "version_number": Column("t.version"),
        "run_id": Column("t.run_id"),
        "model_id": Column("t.model_id"),
        "source_path": Column("t.source"),
        "stage": Column("t.stage"),
        "status": Column("t.status"),
        "user_id": Column("t.user_id"),
        "creation_timestamp": Column("t.create_time"),
        "last_updated_timestamp": Column("t.update_time"),
    },
    pairs={Kind.TAG: "model_version_tags"},
)

# How much of a tag or param counts when it is ordered by.
ORDERED_CHARACTERS = 500

_DATASETS = {
    "name": ("run_datasets x JOIN datasets d ON d.dataset_no = x.dataset_no", "d.name"),
    "digest": ("run_datasets x JOIN datasets d ON d.dataset_no = x.dataset_no", "d.digest"),
    "context": ("run_dataset_tags x", "x.key = 'mlflow.data.context' AND x.value"),
}


@dataclass(slots=True)
class _Statement:
    """A SELECT in the making; parameters are kept in the order of the parts that they belong to."""

    joins: list[str] = field(default_factory=list)
    join_values: list[Scalar] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    where_values: list[Scalar] = field(default_factory=list)
    keys: list[tuple[str, bool]] = field(default_factory=list)  # expression, descending

    def require(self, sql: str, values: Sequence[Scalar] = ()) -> None:
        self.where.append(sql)
        self.where_values.extend(values)


def find(
    connection: Connection, table: Searchable, query: SearchQuery, after: Position | None, limit: int
) -> list[tuple[Any, Position]]:
    """Rows that match with their positions, at most ``limit``, from the one after ``after`` on."""
    statement = _Statement()
    _scope(statement, table, query)
    for condition in query.conditions:
        _filter(statement, table, condition)
    for term in query.order:
        _order(statement, table, term)
    if after is not None:
        _start_after(statement, after)
    keys = "".join(f", {sql} AS k{i}" for i, (sql, _) in enumerate(statement.keys))
    order = ", ".join(f"k{i} DESC" if descending else f"k{i}" for i, (_, descending) in enumerate(statement.keys))
    rows = connection.execute(
        f"SELECT {table.select}{keys} FROM {table.source} {' '.join(statement.joins)}"  # noqa: S608
        f" WHERE {' AND '.join(statement.where) or '1 = 1'} ORDER BY {order} LIMIT ?",
        (*statement.join_values, *statement.where_values, limit),
    ).fetchall()
    return [(row, tuple(row[f"k{i}"] for i in range(len(statement.keys)))) for row in rows]


def _scope(statement: _Statement, table: Searchable, query: SearchQuery) -> None:
    if query.experiment_ids:
        statement.require(_one_of("t.experiment_id", len(query.experiment_ids)), query.experiment_ids)
    if query.source_run_id:
        statement.require("t.source_run_id = ?", (query.source_run_id,))
    if table.has_lifecycle:
        stages = [stage.value for stage in query.view.value]
        statement.require(_one_of("t.lifecycle", len(stages)), stages)


def _filter(statement: _Statement, table: Searchable, condition: Condition) -> None:
    if condition.kind is Kind.ATTRIBUTE:
        statement.require(*_compare(table.columns[condition.key].sql, condition))
    elif condition.kind is Kind.METRIC:
        compared, values = _compare("x.value", condition)
        # NaN differs from every number and is in no other relation to any.
        compared = (
            f"(x.special = 1 OR {compared})" if condition.operator is Operator.NE else f"x.special != 1 AND {compared}"
        )
        _require_some(statement, table, f"{table.metrics} x", f"x.key = ? AND {compared}", (condition.key, *values))
    elif condition.kind is Kind.DATASET:
        source, column = _DATASETS[condition.key]
        compared, values = _compare(column, condition)
        _require_some(statement, table, source, compared, values)
    elif condition.operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
        negated = condition.operator is Operator.IS_NULL
        pairs = f"{table.pairs[condition.kind]} x"
        _require_some(statement, table, pairs, "x.key = ?", (condition.key,), negated=negated)
    else:
        compared, values = _compare("x.value", condition)
        pairs = f"{table.pairs[condition.kind]} x"
        _require_some(statement, table, pairs, f"x.key = ? AND {compared}", (condition.key, *values))


def _require_some(
    statement: _Statement,
    table: Searchable,
    source: str,
    where: str,
    values: Sequence[Scalar],
    *,
    negated: bool = False,
) -> None:
    statement.require(
        f"{'NOT ' if negated else ''}EXISTS (SELECT 1 FROM {source}"  # noqa: S608
        f" WHERE x.{table.number} = t.{table.number} AND {where})",
        values,
    )


def _compare(sql: str, condition: Condition) -> tuple[str, tuple[Scalar, ...]]:
    """SQL that compares an expression with the values of a condition."""
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


_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def _glob(pattern: str) -> str:
    """A LIKE pattern as GLOB writes it."""
    return pattern.translate(_GLOB)


def _order(statement: _Statement, table: Searchable, term: OrderTerm) -> None:
    """Add the sort keys of a term: values first, then NaN, then what has none, whichever the direction."""
    if term.kind is Kind.ATTRIBUTE:
        column = table.columns[term.key]
        sql = column.order or column.sql
        if column.nullable:
            statement.keys.append((f"({sql} IS NULL)", False))
            sql = f"COALESCE({sql}, 0)"
        statement.keys.append((sql, term.descending))
        return
    alias = f"o{len(statement.joins)}"
    on = f"{alias}.{table.number} = t.{table.number} AND {alias}.key = ?"
    statement.join_values.append(term.key)
    if term.kind is Kind.METRIC:
        statement.joins.append(f"LEFT JOIN {table.metrics} {alias} ON {on}")
        if table.metrics == "model_metrics":
            _pick_newest(statement, alias, term.key)
        rank = f"CASE WHEN {alias}.key IS NULL THEN 2 WHEN {alias}.special = 1 THEN 1 ELSE 0 END"
        statement.keys.append((rank, False))
        statement.keys.append((f"COALESCE({alias}.value, 0)", term.descending))
    else:
        statement.joins.append(f"LEFT JOIN {table.pairs[term.kind]} {alias} ON {on}")
        statement.keys.append((f"({alias}.key IS NULL)", False))
        # A position travels in page tokens, so it holds the beginning of a long value; the default order does the rest.
        statement.keys.append((f"COALESCE(SUBSTR({alias}.value, 1, {ORDERED_CHARACTERS}), '')", term.descending))


def _pick_newest(statement: _Statement, alias: str, key: str) -> None:
    """A model has a newest point for each dataset of a key; it is ordered by the newest of them."""
    statement.joins[-1] += (
        f" AND ({alias}.dataset_name, {alias}.dataset_digest) ="  # noqa: S608
        " (SELECT n.dataset_name, n.dataset_digest FROM model_metrics n WHERE n.model_no = t.model_no AND n.key = ?"
        " ORDER BY n.step DESC, n.timestamp DESC, n.value DESC, n.dataset_name, n.dataset_digest LIMIT 1)"
    )
    statement.join_values.append(key)


def _start_after(statement: _Statement, after: Position) -> None:
    """Require a place after ``after``: past it in the first key, or equal there and past it in the next, and so on."""
    sql, values = "", list[Scalar]()
    for (key, descending), value in reversed(list(zip(statement.keys, after, strict=True))):
        past = f"{key} {'<' if descending else '>'} ?"
        sql = f"({past} OR ({key} = ? AND {sql}))" if sql else past
        values = [value, value, *values] if values else [value]
    first, descending = statement.keys[0]
    # Says nothing new, but lets an index on the first key begin in the right place.
    statement.require(f"{first} {'<=' if descending else '>='} ?", (after[0],))
    statement.require(sql, values)


def _one_of(sql: str, count: int) -> str:
    return f"{sql} = ?" if count == 1 else f"{sql} IN ({marks(count)})"
