"""Parses filters: comparisons joined by AND.

::

    filter     = [ comparison { AND comparison } ]
    comparison = name ( = | != | < | <= | > | >= | LIKE | ILIKE ) value
               | name [NOT] IN "(" value { "," value } [ "," ] ")"
               | name IS [NOT] NULL
    name       = [ prefix "." ] key        -- odd keys in backticks or double quotes
    value      = number | 'text' | "text"  -- a quote inside is doubled
"""

from __future__ import annotations

from holdfast_server.domain.names import shown
from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.services.search.fields import Fields, Type
from holdfast_server.services.search.names import read_name
from holdfast_server.services.search.query import Condition, Kind, Operator, Scalar
from holdfast_server.services.search.tokens import Token, TokenKind, invalid, tokenize

MAX_FILTER = 16 << 10
MAX_CONDITIONS = 100
MAX_PATTERN = 1_000  # matching costs the pattern's length times the text's
_INT64 = 1 << 63

_COMPARISONS = {operator.value: operator for operator in Operator if not operator.value[0].isalpha()} | {
    "<>": Operator.NE
}
_NUMERIC = frozenset({Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE})
_TEXTUAL = frozenset({Operator.EQ, Operator.NE, Operator.LIKE, Operator.ILIKE, Operator.IN, Operator.NOT_IN})
_KEYED = _TEXTUAL | {Operator.IS_NULL, Operator.IS_NOT_NULL}
_FIELD = "filter"


def parse_filter(text: str, fields: Fields) -> tuple[Condition, ...]:
    """The conditions of a filter; none for an empty one.

    Raises:
        InvalidArgument: INVALID_FILTER with metadata ``column``, or LIMIT_EXCEEDED.
    """
    if len(text) > MAX_FILTER:
        raise InvalidArgument(
            f"The filter has {len(text)} characters; the limit is {MAX_FILTER}.",
            reason=Reason.LIMIT_EXCEEDED,
            metadata={"limit": str(MAX_FILTER)},
            field=_FIELD,
        )
    return _Parser(tokenize(text, field=_FIELD), fields).parse()


class _Parser:
    def __init__(self, tokens: list[Token], fields: Fields) -> None:
        self._tokens, self._fields, self._at = tokens, fields, 0

    def parse(self) -> tuple[Condition, ...]:
        if self._at_end():
            return ()
        conditions = [self._comparison()]
        while not self._at_end():
            self._expect_and()
            if len(conditions) == MAX_CONDITIONS:
                raise invalid(f"it has more than {MAX_CONDITIONS} conditions", self._now.column, field=_FIELD)
            conditions.append(self._comparison())
        return tuple(conditions)

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _at_end(self) -> bool:
        return self._now.kind is TokenKind.END

    def _next(self) -> Token:
        token = self._now
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _comparison(self) -> Condition:
        kind, key, self._at = read_name(self._tokens, self._at, self._fields, field=_FIELD)
        column = self._now.column
        operator = self._operator()
        allowed = self._allowed(kind, key)
        if operator not in allowed:
            listed = ", ".join(o.value for o in Operator if o in allowed)
            raise invalid(
                f"{operator.value} does not fit {kind.value} {shown(key, 40)}; use {listed}", column, field=_FIELD
            )
        if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
            return Condition(kind, key, operator, ())
        wanted = self._type(kind, key)
        if operator in {Operator.IN, Operator.NOT_IN}:
            return Condition(kind, key, operator, self._list(wanted))
        at = self._now
        value = self._value(wanted)
        if operator in {Operator.LIKE, Operator.ILIKE} and len(str(value)) > MAX_PATTERN:
            raise invalid(f"a pattern has at most {MAX_PATTERN} characters", at.column, field=_FIELD)
        return Condition(kind, key, operator, (value,))

    def _operator(self) -> Operator:
        token = self._next()
        if token.kind is TokenKind.COMPARISON:
            return _COMPARISONS[token.text]
        for word in ("LIKE", "ILIKE", "IN"):
            if token.is_word(word):
                return Operator(word)
        if token.is_word("NOT") and self._now.is_word("IN"):
            self._next()
            return Operator.NOT_IN
        if token.is_word("IS"):
            negated = self._now.is_word("NOT")
            if negated:
                self._next()
            null = self._next()
            if null.is_word("NULL"):
                return Operator.IS_NOT_NULL if negated else Operator.IS_NULL
            raise invalid(f"expected NULL after IS, found {null}", null.column, field=_FIELD)
        raise invalid(f"expected a comparison such as =, < or LIKE, found {token}", token.column, field=_FIELD)

    def _allowed(self, kind: Kind, key: str) -> frozenset[Operator]:
        if kind in {Kind.PARAM, Kind.TAG}:
            return _KEYED
        return _NUMERIC if self._type(kind, key) is Type.NUMBER else _TEXTUAL

    def _type(self, kind: Kind, key: str) -> Type:
        if kind is Kind.ATTRIBUTE:
            return self._fields.attributes[key]
        return Type.NUMBER if kind is Kind.METRIC else Type.TEXT

    def _list(self, wanted: Type) -> tuple[Scalar, ...]:
        self._expect("(")
        values = [self._value(wanted)]
        while self._now.text == "," and self._now.kind is TokenKind.PUNCTUATION:
            self._next()
            if self._now.text == ")" and self._now.kind is TokenKind.PUNCTUATION:
                break
            values.append(self._value(wanted))
        self._expect(")")
        return tuple(values)

    def _value(self, wanted: Type) -> Scalar:
        token = self._next()
        if wanted is Type.NUMBER:
            if token.kind is TokenKind.NUMBER:
                return _number(token.text)
        elif token.kind in {TokenKind.STRING, TokenKind.DOUBLE_QUOTED}:
            return token.text
        raise invalid(f"expected {wanted.value}, found {token}", token.column, field=_FIELD)

    def _expect(self, character: str) -> None:
        token = self._next()
        if token.kind is not TokenKind.PUNCTUATION or token.text != character:
            raise invalid(f"expected {character!r}, found {token}", token.column, field=_FIELD)

    def _expect_and(self) -> None:
        token = self._next()
        if token.is_word("OR"):
            problem = "conditions are joined by AND only; make one search for each side of OR"
            raise invalid(problem, token.column, field=_FIELD)
        if not token.is_word("AND"):
            raise invalid(f"expected AND, found {token}", token.column, field=_FIELD)


def _number(text: str) -> int | float:
    """Whole numbers stay exact as long as the database can hold them."""
    try:
        number = int(text)
    except ValueError:
        return float(text)
    return number if -_INT64 <= number < _INT64 else float(text)
