"""Reads what a condition or an order key is about, such as ``metrics.loss``, ``attributes.status`` or ``status``."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_server.domain.names import shown
from holdfast_server.services.search.fields import DATASET_KEYS, Fields
from holdfast_server.services.search.query import Kind
from holdfast_server.services.search.tokens import Token, TokenKind, invalid

_PREFIXES = {
    **dict.fromkeys(("metric", "metrics"), Kind.METRIC),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), Kind.PARAM),
    **dict.fromkeys(("tag", "tags"), Kind.TAG),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), Kind.ATTRIBUTE),
    **dict.fromkeys(("dataset", "datasets"), Kind.DATASET),
}
_QUOTES = {TokenKind.QUOTED, TokenKind.DOUBLE_QUOTED}


def read_name(tokens: Sequence[Token], at: int, fields: Fields, *, field: str) -> tuple[Kind, str, int]:
    """Kind and key of the name at ``tokens[at]``, and where the next token is.

    Raises:
        InvalidArgument: INVALID_FILTER, there is no name, or this search has nothing of that name.
    """
    token = tokens[at]
    if token.kind in _QUOTES:
        return Kind.ATTRIBUTE, _attribute(token.text, token, fields, field), at + 1
    if token.kind is not TokenKind.WORD:
        raise invalid(f"expected a name such as {_example(fields)}, found {token}", token.column, field=field)
    prefix, dot, key = token.text.partition(".")
    at += 1
    if not dot:
        return Kind.ATTRIBUTE, _attribute(prefix, token, fields, field), at
    kind = _PREFIXES.get(prefix.lower())
    if kind is None or (kind is not Kind.ATTRIBUTE and kind not in fields.kinds):
        raise invalid(f"{shown(prefix, 40)} cannot be searched here; use {_choices(fields)}", token.column, field=field)
    if not key:
        if tokens[at].kind not in _QUOTES or not tokens[at].joined:
            raise invalid(f"expected a key after {shown(token.text, 40)}", tokens[at].column, field=field)
        token = tokens[at]
        key, at = token.text, at + 1
    if kind is Kind.ATTRIBUTE:
        key = _attribute(key, token, fields, field)
    if kind is Kind.DATASET and key not in DATASET_KEYS:
        raise invalid(f"datasets have {', '.join(DATASET_KEYS)}, not {shown(key, 40)}", token.column, field=field)
    return kind, key, at


def _attribute(name: str, token: Token, fields: Fields, field: str) -> str:
    found = fields.attribute(name)
    if found is None:
        raise invalid(f"there is no attribute {shown(name, 40)}; use {_choices(fields)}", token.column, field=field)
    return found


def _choices(fields: Fields) -> str:
    keyed = [f"{kind.value}s.<key>" for kind in Kind if kind in fields.kinds and kind is not Kind.DATASET]
    datasets = [f"dataset.{key}" for key in DATASET_KEYS] if Kind.DATASET in fields.kinds else []
    return ", ".join([*fields.attributes, *keyed, *datasets])


def _example(fields: Fields) -> str:
    return "metrics.loss" if Kind.METRIC in fields.kinds else next(iter(fields.attributes))
