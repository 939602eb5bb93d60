"""Parses orderings such as "metrics.loss ASC".

::

    ordering = name [ ASC | DESC ] [ DATASET text [ DIGEST text ] ]  -- DATASET: of a metric, where metrics have some
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast_server.domain.names import check_count
from holdfast_server.services.search.fields import Fields
from holdfast_server.services.search.names import read_name
from holdfast_server.services.search.query import DatasetName, Kind, OrderTerm
from holdfast_server.services.search.tokens import Token, TokenKind, invalid, tokenize

MAX_TERMS = 10
MAX_TERM = 1_024
_FIELD = "order_by"


def parse_order_by(texts: Iterable[str], fields: Fields) -> tuple[OrderTerm, ...]:
    """The keys to order by, completed by those of the default order, so that no two items are equal.

    Raises:
        InvalidArgument: INVALID_FILTER with metadata ``column``, or LIMIT_EXCEEDED.
    """
    terms: dict[tuple[Kind, str, DatasetName | None], OrderTerm] = {}
    texts = list(texts)
    check_count(len(texts), MAX_TERMS, what="orderings", field=_FIELD)
    for term in (*(_parse_term(text, fields) for text in texts), *fields.default_order):
        terms.setdefault((term.kind, term.key, term.dataset), term)  # a key that comes again decides nothing any more
    return tuple(terms.values())


def _parse_term(text: str, fields: Fields) -> OrderTerm:
    if len(text) > MAX_TERM:
        raise invalid(f"it has more than {MAX_TERM} characters", MAX_TERM + 1, field=_FIELD)
    tokens = tokenize(text, field=_FIELD)
    kind, key, at = read_name(tokens, 0, fields, field=_FIELD)
    if kind is Kind.DATASET:
        raise invalid("datasets cannot be ordered by; a run may have many", tokens[0].column, field=_FIELD)
    descending = tokens[at].is_word("DESC")
    if descending or tokens[at].is_word("ASC"):
        at += 1
    dataset = None
    if kind is Kind.METRIC and fields.has_metric_datasets and tokens[at].is_word("DATASET"):
        dataset, at = _dataset(tokens, at)
    if tokens[at].kind is not TokenKind.END:
        raise invalid(f"expected ASC or DESC, found {tokens[at]}", tokens[at].column, field=_FIELD)
    return OrderTerm(kind, key, descending, dataset)


def _dataset(tokens: Sequence[Token], at: int) -> tuple[DatasetName, int]:
    """The dataset named from ``tokens[at]`` on, and where the next token is."""
    name, at = _text(tokens, at + 1), at + 2
    if not tokens[at].is_word("DIGEST"):
        return DatasetName(name), at
    return DatasetName(name, _text(tokens, at + 1)), at + 2


def _text(tokens: Sequence[Token], at: int) -> str:
    token = tokens[at]
    if token.kind not in {TokenKind.STRING, TokenKind.DOUBLE_QUOTED} or not token.text:
        raise invalid(f"expected a text in quotes, found {token}", token.column, field=_FIELD)
    return token.text
