"""Compiles parsed searches to SQL: conditions as EXISTS, orderings as joins, pages by keyset.

A search of many rows begins with those that meet a condition which few meet, or else walks along its ordering. Only
names from the tables below become part of a statement; everything that callers send is bound.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast_server.domain.access import ResourceKind
from holdfast_server.services.search.query import (
    Condition,
    DatasetName,
    Kind,
    Operator,
    OrderTerm,
    Position,
    Scalar,
    SearchQuery,
)
from holdfast_server.storage.sql.blocks import marks
from holdfast_server.storage.sql.conditions import compare, compare_metric
from holdfast_server.storage.sql.connection import Connection
from holdfast_server.storage.sql.selective import Few, are_few, find_few
from holdfast_server.storage.sql.visibility import narrowed, visible


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute's SQL. ``order``: what to sort by, when that is another expression."""

    sql: str
    order: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Searchable:
    """What can be searched, row by row of ``t``.

    ``number`` is the column that rows of the tables in ``pairs`` and ``metrics`` hang on. ``by_value`` names indexes
    of these tables by key and value, ``by_attribute`` those of the rows by an attribute; without them all are sorted.
    ``id`` is the attribute that names one row. ``access`` is what grants are given on that decides who may read a row,
    and the expression of its number.
    """

    source: str
    number: str
    access: tuple[ResourceKind, str]
    columns: Mapping[str, Column]
    pairs: Mapping[Kind, str] = field(default_factory=dict)
    metrics: str = ""
    has_datasets: bool = False
    by_value: Mapping[Kind, str] = field(default_factory=dict)
    by_attribute: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    has_lifecycle: bool = False
    select: str = "t.*"


RUN_COLUMNS = (
    "t.run_no, t.run_id, t.experiment_id, t.run_name, t.user_id, t.status, t.lifecycle,"
    " t.start_time, t.end_time, t.lost"
)
RUNS = Searchable(
    source="runs t",
    select=RUN_COLUMNS,
    number="run_no",
    access=(ResourceKind.EXPERIMENT, "t.experiment_id"),
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
    by_value={
        Kind.METRIC: "latest_metrics_by_value",
        Kind.PARAM: "run_params_by_value",
        Kind.TAG: "run_tags_by_value",
    },
    by_attribute={"start_time": "runs_by_time"},
    id="run_id",
    has_lifecycle=True,
)
EXPERIMENTS = Searchable(
    source="experiments t",
    number="experiment_id",
    access=(ResourceKind.EXPERIMENT, "t.experiment_id"),
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
    access=(ResourceKind.EXPERIMENT, "t.experiment_id"),
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
    has_datasets=True,
    has_lifecycle=True,
)
REGISTERED_MODELS = Searchable(
    source="registered_models t",
    number="registered_no",
    access=(ResourceKind.REGISTERED_MODEL, "t.lineage"),
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
    access=(ResourceKind.REGISTERED_MODEL, "r.lineage"),
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
# What the first key of an ordering by a metric is: for rows with a number, with NaN, and without the metric.
_NUMBER, _NAN, _MISSING = 0, 1, 2


@dataclass(slots=True)
class _Statement:
    """A SELECT in the making; parameters are kept in the order of the parts that they belong to."""

    source: str
    source_values: list[Scalar] = field(default_factory=list)
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
    """Rows that match with their positions, at most ``limit``, from the one after ``after`` on.

    However rows are found, their positions are the same: the next page may be found in another way.
    """
    query = narrowed(connection, query, table.access[0])
    if not table.by_value or _names_rows(table, query) or _is_small(connection, table, query):
        return _find_and_sort(connection, table, query, after, limit)
    few = find_few(connection, table, query)
    if few is not None:
        return _find_and_sort(connection, table, query, after, limit, few=few)
    first = query.order[0]
    if first.kind is Kind.METRIC:
        return _walk_along_metric(connection, table, query, after, limit)
    # Those of one experiment have an index of their own.
    along = (
        table.by_attribute.get(first.key, "") if first.kind is Kind.ATTRIBUTE and len(query.experiment_ids) != 1 else ""
    )
    return _find_and_sort(connection, table, query, after, limit, along=along)


def find_among(connection: Connection, table: Searchable, query: SearchQuery, numbers: Sequence[int]) -> list[Any]:
    """Those of some rows that match; what it costs depends on how many they are, not on how many match."""
    few = Few(json.dumps(numbers))
    return [row for row, _ in _find_and_sort(connection, table, query, None, len(numbers), few=few)]


def _names_rows(table: Searchable, query: SearchQuery) -> bool:
    """Whether a condition says which rows are meant."""
    named = {Operator.EQ, Operator.IN}
    return any(c.kind is Kind.ATTRIBUTE and c.key == table.id and c.operator in named for c in query.conditions)


def _is_small(connection: Connection, table: Searchable, query: SearchQuery) -> bool:
    """Whether so few rows are searched at all that it does not matter how."""
    statement = _Statement(table.source)
    _scope(statement, table, query)
    return are_few(connection, table.source, " AND ".join(statement.where) or "1 = 1", statement.where_values)


def _find_and_sort(
    connection: Connection,
    table: Searchable,
    query: SearchQuery,
    after: Position | None,
    limit: int,
    *,
    few: Few | None = None,
    along: str = "",
) -> list[tuple[Any, Position]]:
    """What matches among all rows or ``few``, sorted unless an index, such as ``along``, has the ordering."""
    statement = _Statement(table.source)
    if few is not None:
        # CROSS JOIN keeps the order of the tables.
        statement.source = f"json_each(?) few CROSS JOIN {table.source}"
        statement.source_values = [few.numbers]
        statement.require(f"t.{table.number} = few.value")
    elif along:
        statement.source = f"{table.source} INDEXED BY {along}"
    _scope(statement, table, query)
    for condition in query.conditions:
        if few is None or condition is not few.condition:
            _filter(statement, table, condition, query)
    for term in query.order:
        _order(statement, table, term)
    return _select(connection, table, statement, after, limit)


def _walk_along_metric(
    connection: Connection, table: Searchable, query: SearchQuery, after: Position | None, limit: int
) -> list[tuple[Any, Position]]:
    """What matches along the index of the metric that comes first in the ordering; then NaN; then what lacks it."""
    found: list[tuple[Any, Position]] = []
    first = _NUMBER if after is None else int(after[0])
    for rank in (_NUMBER, _NAN, _MISSING)[first:]:
        if len(found) == limit:
            break
        statement, known = _part(table, query.order[0], rank)
        _scope(statement, table, query)
        for condition in query.conditions:
            _filter(statement, table, condition, query)
        for term in query.order[1:]:
            _order(statement, table, term)
        place = after[len(known) :] if after is not None and rank == first else None
        rows = _select(connection, table, statement, place, limit - len(found))
        found += [(row, (*known, *position)) for row, position in rows]
    return found


def _part(table: Searchable, term: OrderTerm, rank: int) -> tuple[_Statement, Position]:
    """The beginning of a statement for rows of one rank, and the keys that all of them begin with."""
    if rank == _MISSING:
        statement = _Statement(table.source)
        missing = f"SELECT 1 FROM {table.metrics} o WHERE o.{table.number} = t.{table.number} AND o.key = ?"  # noqa: S608
        statement.require(f"NOT EXISTS ({missing})", (term.key,))
        return statement, (rank, 0)
    index = table.by_value[Kind.METRIC]
    statement = _Statement(f"{table.metrics} o INDEXED BY {index} CROSS JOIN {table.source}")
    statement.require(f"t.{table.number} = o.{table.number} AND o.key = ?", (term.key,))
    if rank == _NAN:
        statement.require("o.value = 0 AND o.special = 1")  # NaN is kept as 0
        return statement, (rank, 0.0)
    statement.require("o.special != 1")
    statement.keys.append(("o.value", term.descending))
    return statement, (rank,)


def _select(
    connection: Connection, table: Searchable, statement: _Statement, after: Position | None, limit: int
) -> list[tuple[Any, Position]]:
    if after is not None:
        _start_after(statement, after)
    keys = "".join(f", {sql} AS k{i}" for i, (sql, _) in enumerate(statement.keys))
    order = ", ".join(f"k{i} DESC" if descending else f"k{i}" for i, (_, descending) in enumerate(statement.keys))
    rows = connection.execute(
        f"SELECT {table.select}{keys} FROM {statement.source} {' '.join(statement.joins)}"  # noqa: S608
        f" WHERE {' AND '.join(statement.where) or '1 = 1'} ORDER BY {order} LIMIT ?",
        (*statement.source_values, *statement.join_values, *statement.where_values, limit),
    ).fetchall()
    return [(row, row[len(row) - len(statement.keys) :]) for row in rows]


def _scope(statement: _Statement, table: Searchable, query: SearchQuery) -> None:
    # A plus sign keeps SQLite from going through an experiment in search of some of its rows.
    plus = "+" if _names_rows(table, query) else ""
    if query.experiment_ids:
        statement.require(_one_of(f"{plus}t.experiment_id", len(query.experiment_ids)), query.experiment_ids)
    if query.active_experiments:
        statement.require("t.experiment_id IN (SELECT experiment_id FROM experiments WHERE lifecycle = 'active')")
    if query.source_run_id:
        statement.require("t.source_run_id = ?", (query.source_run_id,))
    if table.has_lifecycle:
        stages = [stage.value for stage in query.view.value]
        statement.require(_one_of(f"{plus}t.lifecycle", len(stages)), stages)
    if query.visible_to is not None:
        statement.require(*visible(query.visible_to, *table.access))
    if query.datasets and not any(condition.kind is Kind.METRIC for condition in query.conditions):
        measured, values = _on_datasets("x", query.datasets)
        _require_some(statement, table, f"{table.metrics} x", measured, values)


def _filter(statement: _Statement, table: Searchable, condition: Condition, query: SearchQuery) -> None:
    if condition.kind is Kind.ATTRIBUTE:
        statement.require(*compare(table.columns[condition.key].sql, condition))
    elif condition.kind is Kind.METRIC:
        # Plus signs keep SQLite from looking a row's values up by anything but the row.
        compared, values = compare_metric("+x", condition)
        if query.datasets:
            measured, names = _on_datasets("x", query.datasets)
            compared, values = f"{compared} AND {measured}", (*values, *names)
        _require_some(statement, table, f"{table.metrics} x", f"x.key = ? AND {compared}", (condition.key, *values))
    elif condition.kind is Kind.DATASET:
        source, column = _DATASETS[condition.key]
        compared, values = compare(column, condition)
        _require_some(statement, table, source, compared, values)
    elif condition.operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
        negated = condition.operator is Operator.IS_NULL
        pairs = f"{table.pairs[condition.kind]} x"
        _require_some(statement, table, pairs, "x.key = ?", (condition.key,), negated=negated)
    else:
        compared, values = compare("+x.value", condition)
        pairs = f"{table.pairs[condition.kind]} x"
        _require_some(statement, table, pairs, f"x.key = ? AND {compared}", (condition.key, *values))


def _on_datasets(row: str, datasets: Sequence[DatasetName]) -> tuple[str, list[Scalar]]:
    """An expression that says whether a row of metrics was measured on one of some datasets, with its values."""
    if len(datasets) == 1:
        (dataset,) = datasets
        if not dataset.digest:
            return f"{row}.dataset_name = ?", [dataset.name]
        return f"({row}.dataset_name = ? AND {row}.dataset_digest = ?)", [dataset.name, dataset.digest]
    # Lists, not terms joined by OR: SQLite plans each of those apart, which took a minute for a hundred conditions.
    names = [dataset.name for dataset in datasets if not dataset.digest]
    exact = [(dataset.name, dataset.digest) for dataset in datasets if dataset.digest]
    parts = []
    if names:
        parts.append(_one_of(f"+{row}.dataset_name", len(names)))
    if exact:
        listed = ", ".join(["(?, ?)"] * len(exact))
        parts.append(f"(+{row}.dataset_name, +{row}.dataset_digest) IN (VALUES {listed})")
    return f"({' OR '.join(parts)})", [*names, *itertools.chain.from_iterable(exact)]


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
        if table.has_datasets:
            _pick_newest(statement, alias, term)
        rank = f"CASE WHEN {alias}.key IS NULL THEN {_MISSING} WHEN {alias}.special = 1 THEN {_NAN} ELSE {_NUMBER} END"
        statement.keys.append((rank, False))
        statement.keys.append((f"COALESCE({alias}.value, 0)", term.descending))
    else:
        statement.joins.append(f"LEFT JOIN {table.pairs[term.kind]} {alias} ON {on}")
        statement.keys.append((f"({alias}.key IS NULL)", False))
        # A position travels in page tokens, so it holds the beginning of a long value; the default order does the rest.
        statement.keys.append((f"COALESCE(SUBSTR({alias}.value, 1, {ORDERED_CHARACTERS}), '')", term.descending))


def _pick_newest(statement: _Statement, alias: str, term: OrderTerm) -> None:
    """A model has a newest point for each dataset of a key; it is ordered by the newest of those that count."""
    statement.join_values.append(term.key)
    measured = ""
    if term.dataset is not None:
        measured, names = _on_datasets("n", [term.dataset])
        measured = f" AND {measured}"
        statement.join_values.extend(names)
    statement.joins[-1] += (
        f" AND ({alias}.dataset_name, {alias}.dataset_digest) ="  # noqa: S608
        f" (SELECT n.dataset_name, n.dataset_digest FROM model_metrics n WHERE n.model_no = t.model_no AND n.key = ?"
        f"{measured}"
        " ORDER BY n.step DESC, n.timestamp DESC, n.value DESC, n.dataset_name, n.dataset_digest LIMIT 1)"
    )


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
