"""Filters, orderings and page tokens, without a database."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.services.search import fields
from holdfast_server.services.search.filter import MAX_FILTER, parse_filter
from holdfast_server.services.search.mask import RUN_LISTS, parse_mask
from holdfast_server.services.search.order import parse_order_by
from holdfast_server.services.search.page_token import open_token, seal_token
from holdfast_server.services.search.query import Condition, DatasetName, Kind, Operator, OrderTerm

KEY = b"k" * 32


def one(text, where=fields.RUNS):
    (condition,) = parse_filter(text, where)
    return condition


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("metrics.a < 1", Condition(Kind.METRIC, "a", Operator.LT, (1,))),
        ("metric.a>=-1.5e3", Condition(Kind.METRIC, "a", Operator.GE, (-1500.0,))),
        ("metrics.a = .5", Condition(Kind.METRIC, "a", Operator.EQ, (0.5,))),
        ("metrics.a = +5.", Condition(Kind.METRIC, "a", Operator.EQ, (5.0,))),
        ("METRICS.a != 9223372036854775807", Condition(Kind.METRIC, "a", Operator.NE, ((1 << 63) - 1,))),
        ("metrics.a != 9223372036854775808", Condition(Kind.METRIC, "a", Operator.NE, (float(1 << 63),))),
        ("metrics.a < 1e999", Condition(Kind.METRIC, "a", Operator.LT, (math.inf,))),
        ("metrics.2 < 1", Condition(Kind.METRIC, "2", Operator.LT, (1,))),
        ("params.a.b.c = ''", Condition(Kind.PARAM, "a.b.c", Operator.EQ, ("",))),
        ("parameters.`a b;c` = 'x'", Condition(Kind.PARAM, "a b;c", Operator.EQ, ("x",))),
        ('tag."a b" like "x"', Condition(Kind.TAG, "a b", Operator.LIKE, ("x",))),
        ("tags.AND = 'AND'", Condition(Kind.TAG, "AND", Operator.EQ, ("AND",))),
        ("tags.é is not null", Condition(Kind.TAG, "é", Operator.IS_NOT_NULL, ())),
        ("run_id not in ('a', \"b\")", Condition(Kind.ATTRIBUTE, "run_id", Operator.NOT_IN, ("a", "b"))),
        ("Created > 3", Condition(Kind.ATTRIBUTE, "start_time", Operator.GT, (3,))),
        ("dataset.context = 'train'", Condition(Kind.DATASET, "context", Operator.EQ, ("train",))),
    ],
)
def test_conditions_are_parsed(text, condition):
    assert one(text) == condition


def test_conditions_are_joined_in_order():
    found = parse_filter("metrics.a < 1 AND params.b = 'x' and start_time > 3", fields.RUNS)
    assert [(c.kind, c.key) for c in found] == [
        (Kind.METRIC, "a"),
        (Kind.PARAM, "b"),
        (Kind.ATTRIBUTE, "start_time"),
    ]


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_an_empty_filter_has_no_conditions(text):
    assert parse_filter(text, fields.RUNS) == ()


def refusal(text):
    """The error of a filter; None when it is accepted."""
    try:
        parse_filter(text, fields.RUNS)
    except InvalidArgument as error:
        return error
    return None


@given(st.text())
def test_any_text_is_parsed_or_refused_with_a_column(text):
    error = refusal(text)
    assert error is None or error.reason is Reason.INVALID_FILTER
    assert error is None or 1 <= int(error.metadata["column"]) <= len(text) + 1


WORDS = [
    "metrics.a",
    "params.`b`",
    "tags.",
    '"c"',
    "status",
    "=",
    "<",
    "!=",
    "LIKE",
    "IN",
    "NOT",
    "IS",
    "NULL",
    "(",
    ")",
    ",",
    "'x'",
    "1",
    "-2.5",
    "AND",
    "OR",
    ";",
    "`",
    "'",
]


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_sequence_of_tokens_is_parsed_or_refused(words):
    error = refusal(" ".join(words))
    assert error is None or error.reason is Reason.INVALID_FILTER


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_quoted_texts_mean_themselves(value):
    for quote in ("'", '"'):
        quoted = quote + value.replace(quote, quote * 2) + quote
        assert one(f"params.p = {quoted}").values == (value,)


def test_parsing_takes_time_in_proportion_to_the_length():
    hostile = ["'" * MAX_FILTER, "`" * MAX_FILTER, "(" * MAX_FILTER, "9" * MAX_FILTER, "a." * (MAX_FILTER // 2)]
    for text in hostile:
        with pytest.raises(InvalidArgument):
            parse_filter(text, fields.RUNS)


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        ([], OrderTerm(Kind.ATTRIBUTE, "start_time", descending=True)),
        (["metrics.`a b` desc"], OrderTerm(Kind.METRIC, "a b", descending=True)),
        (["tags.x"], OrderTerm(Kind.TAG, "x")),
        (["attribute.end_time ASC"], OrderTerm(Kind.ATTRIBUTE, "end_time")),
    ],
)
def test_orderings_are_parsed_and_total(texts, first):
    terms = parse_order_by(texts, fields.RUNS)
    assert terms[0] == first
    assert OrderTerm(Kind.ATTRIBUTE, "run_id") in terms


def test_a_key_that_comes_again_decides_nothing():
    terms = parse_order_by(["run_id DESC", "run_id ASC", "start_time"], fields.RUNS)
    assert terms == (
        OrderTerm(Kind.ATTRIBUTE, "run_id", descending=True),
        OrderTerm(Kind.ATTRIBUTE, "start_time"),
    )


SCALARS = st.one_of(st.text(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False))


@given(st.lists(SCALARS, max_size=6))
def test_positions_survive_their_token(values):
    position = tuple(values)
    assert open_token(KEY, "q", seal_token(KEY, "q", position)) == position


@given(st.binary(max_size=80))
def test_made_up_tokens_are_refused(data):
    import base64

    with pytest.raises(InvalidArgument) as caught:
        open_token(KEY, "q", base64.urlsafe_b64encode(data).decode())
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


def test_tokens_of_another_key_or_query_are_refused():
    token = seal_token(KEY, "q", (1, "a"))
    for key, query in ((b"x" * 32, "q"), (KEY, "r")):
        with pytest.raises(InvalidArgument):
            open_token(key, query, token)


@pytest.mark.parametrize(
    ("wanted", "lists"),
    [
        pytest.param([], None, id="everything"),
        pytest.param(["attributes"], {}, id="nothing else"),
        pytest.param(["metrics.b", "metrics.a", "metrics.a"], {"metrics": ("a", "b")}, id="keys"),
        pytest.param(["params", "params.a"], {"params": None}, id="a list and a key of it"),
        pytest.param(["params.a", "params.*"], {"params": None}, id="a key and a star"),
        pytest.param(["tags.a.b c/d", "model_outputs"], {"tags": ("a.b c/d",), "model_outputs": None}, id="odd keys"),
    ],
)
def test_masks_are_parsed(wanted, lists):
    mask = parse_mask(wanted, RUN_LISTS)
    assert mask.lists == lists
    for name in RUN_LISTS:
        assert mask.wants(name) == (mask.keys(name) != ())


@pytest.mark.parametrize(
    "wanted", ["", "*", "loss", "params.", "params.a;b", "registrations", "model_outputs.x", "tags.é\n"]
)
def test_fields_that_are_none_are_refused(wanted):
    with pytest.raises(InvalidArgument) as caught:
        parse_mask([wanted], RUN_LISTS)
    assert caught.value.field == "fields"


def test_too_many_fields_are_refused():
    with pytest.raises(InvalidArgument, match="1001 fields are too many"):
        parse_mask([f"params.p{i}" for i in range(1_001)], RUN_LISTS)


def test_orderings_name_datasets_where_metrics_have_some():
    iris = DatasetName("it's", "d 1")
    (term, *_) = parse_order_by(["metrics.acc DESC DATASET 'it''s' DIGEST \"d 1\""], fields.LOGGED_MODELS)
    assert term == OrderTerm(Kind.METRIC, "acc", descending=True, dataset=iris)
    both = parse_order_by(["metrics.acc DATASET 'a'", "metrics.acc"], fields.LOGGED_MODELS)
    assert [t.dataset for t in both[:2]] == [DatasetName("a"), None]
