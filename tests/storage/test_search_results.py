"""Searches against a plain Python filter and sort: whichever way one takes, it finds the same in the same order."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path
from typing import Any, TypeVar

import pytest
from benchmarks.large_database import fill_holdfast
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_server.domain.experiment import Tag, ViewType
from holdfast_server.domain.run import Metric, Param, RunStatus
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import parse_filter
from holdfast_server.services.search.mask import RUN_LISTS, parse_mask
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.query import Condition, Kind, Operator, OrderTerm, SearchQuery
from holdfast_server.storage.sql import selective
from holdfast_server.storage.sql.connection import connect
from holdfast_server.storage.sql.experiments import SqlExperiments
from holdfast_server.storage.sql.migrate import migrate
from holdfast_server.storage.sql.runs import SqlRuns

T = TypeVar("T")
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    connection = migrated(tmp_path_factory.mktemp("search"))
    yield connection
    connection.close()


def migrated(directory: Path) -> Any:
    migrate(directory / "holdfast.db")
    connection = connect(directory / "holdfast.db")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


@dataclass(frozen=True)
class Row:
    """A run as the plain filter sees it."""

    name: str
    start_time: int
    end_time: int | None
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    run_id: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "run_name": self.name, "start_time": self.start_time, "end_time": self.end_time}


KEYS = st.sampled_from(["a", "b"])
NUMBER = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0, 2.0, -1.5])
TEXT = st.sampled_from(["", "a", "A", "ab", "a%b", "a_b", "a*b", "[ab]", "x\ny", "zz"])
ROWS = st.builds(
    Row,
    name=st.sampled_from(["n", "N", "nn"]),
    start_time=st.integers(0, 2),
    end_time=st.none() | st.integers(0, 2),
    metrics=st.dictionaries(KEYS, NUMBER),
    params=st.dictionaries(KEYS, TEXT),
    tags=st.dictionaries(KEYS, TEXT),
)
PATTERNS = st.sampled_from(["%", "a%", "%b", "%a%", "_", "a_b", "A%", "", "[ab]", "%*%"])
NUMERIC = [Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE]
FINITE = st.sampled_from([math.inf, -math.inf, 0, 1.0, 2, -1.5])


def texts(kind: Kind, key: st.SearchStrategy[str], null: bool) -> st.SearchStrategy[Condition]:
    one = st.sampled_from([Operator.EQ, Operator.NE])
    many = st.sampled_from([Operator.IN, Operator.NOT_IN])
    like = st.sampled_from([Operator.LIKE, Operator.ILIKE])
    made = [
        st.builds(Condition, st.just(kind), key, one, st.tuples(TEXT)),
        st.builds(Condition, st.just(kind), key, like, st.tuples(PATTERNS)),
        st.builds(Condition, st.just(kind), key, many, st.lists(TEXT, min_size=1, max_size=3).map(tuple)),
    ]
    if null:
        is_null = st.sampled_from([Operator.IS_NULL, Operator.IS_NOT_NULL])
        made.append(st.builds(Condition, st.just(kind), key, is_null, st.just(())))
    return st.one_of(made)


CONDITIONS = st.one_of(
    st.builds(Condition, st.just(Kind.METRIC), KEYS, st.sampled_from(NUMERIC), st.tuples(FINITE)),
    texts(Kind.PARAM, KEYS, null=True),
    texts(Kind.TAG, KEYS, null=True),
    texts(Kind.ATTRIBUTE, st.just("run_name"), null=False),
    st.builds(
        Condition,
        st.just(Kind.ATTRIBUTE),
        st.sampled_from(["start_time", "end_time"]),
        st.sampled_from(NUMERIC),
        st.tuples(st.integers(-1, 3)),
    ),
)
TERMS = st.one_of(
    st.builds(OrderTerm, st.sampled_from([Kind.METRIC, Kind.PARAM, Kind.TAG]), KEYS, st.booleans()),
    st.builds(
        OrderTerm, st.just(Kind.ATTRIBUTE), st.sampled_from(["start_time", "end_time", "run_name"]), st.booleans()
    ),
)


@given(
    rows=st.lists(ROWS, max_size=20),
    conditions=st.lists(CONDITIONS, max_size=3),
    terms=st.lists(TERMS, max_size=3),
    few=st.sampled_from([0, 2, 5, 1_000]),
    page=st.sampled_from([1, 3, 100]),
    others=st.booleans(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_search_finds_what_a_plain_filter_does(  # noqa: PLR0917
    connection, monkeypatch, rows, conditions, terms, few, page, others
):
    with monkeypatch.context() as patch:
        patch.setattr(selective, "FEW", few)
        connection.execute("BEGIN")
        try:
            rows, experiments = stored(connection, rows, others=others)
            order = tuple({(t.kind, t.key): t for t in reversed([*terms, *fields.RUNS.default_order])}.values())[::-1]
            query = SearchQuery(tuple(conditions), order, ViewType.ACTIVE_ONLY, experiments)
            assert pages(connection, query, page) == [row.run_id for row in found(rows, conditions, order)]
        finally:
            connection.execute("ROLLBACK")


@pytest.mark.parametrize("count", [1, 2, 10, 300])
def test_runs_that_are_named_are_looked_up_by_name(connection, count):
    """However many names: from ten on, SQLite by itself goes through the experiment."""
    names = ", ".join(f"'{number:032x}'" for number in range(count))
    conditions = parse_filter(f"attributes.run_id IN ({names})", fields.RUNS)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    SqlRuns(connection).search(SearchQuery(conditions, fields.RUNS.default_order, experiment_ids=(0,)), None, 100)
    connection.set_trace_callback(None)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statements[-1]}").fetchall()
    assert "(run_id=?)" in plan[0]["detail"]


def stored(connection: Any, rows: list[Row], *, others: bool) -> tuple[list[Row], tuple[int, ...]]:
    """The rows with their ids, and the experiments they are in: one, or two among which they are spread."""
    runs, experiments = SqlRuns(connection), SqlExperiments(connection)
    ids = [experiments.create(f"e{next(NUMBERS)}", (), artifact_location="", now_ms=0).id for _ in range(2)]
    made = []
    for number, row in enumerate(rows):
        run_id = f"{next(NUMBERS):032x}"
        info = runs.create(
            run_id=run_id, experiment_id=ids[number % 2 if others else 0], name=row.name, user_id="",
            status=RunStatus.RUNNING, start_time=row.start_time, tags=[Tag(k, v) for k, v in row.tags.items()],
        )  # fmt: skip
        runs.update(info.number, name=row.name, status=RunStatus.RUNNING, end_time=row.end_time)
        runs.add_params(info.number, [Param(k, v) for k, v in row.params.items()])
        runs.add_metrics(info.number, [Metric(k, v, 0, 0) for k, v in row.metrics.items()], {})
        made.append(Row(**{**vars(row), "run_id": run_id}))
    return made, tuple(ids) if others else (ids[0],)


def pages(connection: Any, query: SearchQuery, size: int) -> list[str]:
    """The ids found, page by page."""
    ids: list[str] = []
    after = None
    while True:
        part = SqlRuns(connection).search(query, after, size)
        ids += [one.item.id for one in part]
        if len(part) < size:
            return ids
        after = part[-1].position


def found(rows: list[Row], conditions: list[Condition], order: tuple[OrderTerm, ...]) -> list[Row]:
    matching = [row for row in rows if all(meets(row, condition) for condition in conditions)]

    def compared(one: Row, other: Row) -> int:
        for term in order:
            for (mine, descending), (theirs, _) in zip(sort_keys(one, term), sort_keys(other, term), strict=True):
                if mine != theirs:
                    return -1 if (mine < theirs) != descending else 1
        return 0

    return sorted(matching, key=cmp_to_key(compared))


def sort_keys(row: Row, term: OrderTerm) -> list[tuple[Any, bool]]:
    values = {Kind.METRIC: row.metrics, Kind.PARAM: row.params, Kind.TAG: row.tags, Kind.ATTRIBUTE: row.attributes}
    value = values[term.kind].get(term.key)
    missing = value is None
    rank = 2 if missing else 1 if term.kind is Kind.METRIC and math.isnan(value) else 0
    return [(rank, False), (value if rank == 0 else 0, term.descending)]


COMPARISONS = {
    Operator.EQ: operator.eq, Operator.NE: operator.ne, Operator.LT: operator.lt,
    Operator.LE: operator.le, Operator.GT: operator.gt, Operator.GE: operator.ge,
}  # fmt: skip


def meets(row: Row, condition: Condition) -> bool:
    values = {Kind.METRIC: row.metrics, Kind.PARAM: row.params, Kind.TAG: row.tags, Kind.ATTRIBUTE: row.attributes}
    value = values[condition.kind].get(condition.key)
    if condition.operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
        return (value is None) == (condition.operator is Operator.IS_NULL)
    if value is None:
        return False
    if condition.operator in {Operator.IN, Operator.NOT_IN}:
        return (value in condition.values) == (condition.operator is Operator.IN)
    if condition.operator in {Operator.LIKE, Operator.ILIKE}:
        pattern = re.escape(str(condition.values[0])).replace("%", ".*").replace("_", ".")
        flags = re.DOTALL | (re.IGNORECASE if condition.operator is Operator.ILIKE else 0)
        return re.fullmatch(pattern, value, flags) is not None
    return COMPARISONS[condition.operator](value, condition.values[0])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """20,000 runs with 10 metrics each."""
    connection = migrated(tmp_path_factory.mktemp("many"))
    fill_holdfast(connection, 20_000)
    yield connection
    connection.close()


def steps_of_page(connection: Any, filter_: str, order_by: list[str], number: int) -> tuple[int, list[str]]:
    """What a page of 100 costs, in thousands of steps of SQLite's virtual machine, which no other load changes."""
    order = parse_order_by(order_by, fields.RUNS)
    query = SearchQuery(parse_filter(filter_, fields.RUNS), order, ViewType.ACTIVE_ONLY, (0,))
    runs, after = SqlRuns(connection), None
    if number:
        after = runs.search(query, None, number * 100)[-1].position
    steps, page = steps_of(connection, lambda: runs.search(query, after, 100))
    return steps, [one.item.id for one in page]


def steps_of(connection: Any, work: Callable[[], T]) -> tuple[int, T]:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1_000)
    done = work()
    connection.set_progress_handler(None, 1_000)
    return steps, done


@pytest.mark.parametrize(
    ("filter_", "order_by", "last"),
    [
        pytest.param("metrics.loss < 0.5", [], 95, id="one metric"),
        pytest.param("metrics.loss < 0.01", [], 1, id="one metric that few meet"),
        pytest.param("metrics.loss < 0.5 AND params.optimizer = 'adam'", [], 30, id="metric and param"),
        pytest.param("params.seed = '8'", [], 0, id="param that few have"),
        pytest.param("tags.note LIKE '%needle%'", [], 3, id="pattern that few meet"),
        pytest.param("tags.note LIKE '%straw%'", [], 190, id="pattern that most meet"),
        pytest.param("tags.note LIKE '%nowhere%'", [], 0, id="pattern that none meets"),
        pytest.param("metrics.loss < 0.5", ["metrics.acc DESC"], 85, id="along another metric"),
        pytest.param("metrics.loss < 0.5", ["metrics.acc"], 95, id="those without the other metric"),
        pytest.param("", ["metrics.loss"], 199, id="along a metric to its NaN"),
        pytest.param("", [], 199, id="the newest"),
    ],
)
def test_no_page_costs_much_and_the_last_no_more_than_the_first(many, filter_, order_by, last) -> None:
    first, names = steps_of_page(many, filter_, order_by, 0)
    assert names or "nowhere" in filter_
    deep, others = steps_of_page(many, filter_, order_by, last)
    assert not last or (others and not set(names) & set(others))
    # Sorting the 20,000 runs by their joined rows takes about 1,500.
    assert max(first, deep) < 400


@pytest.mark.parametrize(
    ("filter_", "order_by"),
    [
        pytest.param("", ["params.optimizer"], id="along a param"),
        pytest.param("metrics.loss < 0.5 AND tags.note LIKE '%straw%'", ["metrics.acc DESC"], id="with conditions"),
    ],
)
@pytest.mark.parametrize("experiment_ids", [(0,), ()], ids=["of one experiment", "of all"])
def test_runs_that_were_found_are_looked_up_without_another_search(many, filter_, order_by, experiment_ids) -> None:
    order = parse_order_by(order_by, fields.RUNS)
    query = SearchQuery(parse_filter(filter_, fields.RUNS), order, ViewType.ACTIVE_ONLY, experiment_ids)
    runs = SqlRuns(many)
    page = [one.item for one in runs.search(query, None, 500)]
    steps, again = steps_of(many, lambda: runs.search_among([run.number for run in page], query))
    assert again == page
    # Looking for 500 by their ids goes through all runs, and takes 200.
    assert steps < 50
    others = SearchQuery((*query.conditions, *parse_filter("params.seed = '8'", fields.RUNS)), order)
    assert runs.search_among([run.number for run in page], others) == [
        run for run in page if runs.get_params(run.number, ["seed"]) == {"seed": "8"}
    ]


def test_the_mask_says_what_is_loaded(many) -> None:
    runs = SqlRuns(many)

    def load(*wanted: str) -> Any:
        return runs.load_data([7], parse_mask(wanted, RUN_LISTS))[7]

    whole = load()
    assert (len(whole.params), len(whole.tags), len(whole.metrics)) == (5, 3, 10)
    assert load("params", "tags.*", "metrics", "dataset_inputs") == whole
    assert [m.key for m in load("metrics.acc", "metrics.absent", "metrics.loss").metrics] == ["acc", "loss"]
    assert load("metrics.acc", "metrics.*").metrics == whole.metrics
    assert load("metrics.acc").params == load("metrics.acc").tags == ()
    assert [t.key for t in load("tags.mlflow.runName").tags] == ["mlflow.runName"]
    assert load("attributes").metrics == ()
