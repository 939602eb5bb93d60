"""Splits filters and orderings into tokens that know their columns."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from holdfast_server.domain.names import shown
from holdfast_server.errors import InvalidArgument, Reason


class TokenKind(enum.Enum):
    """What a token is."""

    WORD = "a name"
    NUMBER = "a number"
    STRING = "a text in quotes"
    QUOTED = "a name in backticks"
    DOUBLE_QUOTED = "a text in double quotes"
    COMPARISON = "a comparison"
    PUNCTUATION = "punctuation"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A token; ``text`` is without quotes, ``column`` counts from 1, ``joined`` tells that nothing is before it."""

    kind: TokenKind
    text: str
    column: int
    joined: bool

    def is_word(self, word: str) -> bool:
        """Whether it is this keyword, in any case."""
        return self.kind is TokenKind.WORD and self.text.upper() == word

    def __str__(self) -> str:
        return "the end" if self.kind is TokenKind.END else shown(self.text, 40)


# Numbers come first: a word cannot begin with a digit. Words hold all characters of keys but the space. Each has one
# way only to match: with two, what does not match takes the square of its length, on the event loop.
_TOKEN = re.compile(
    r"""
      (?P<SPACE>\s+)
    | (?P<NUMBER>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]))
    | (?P<WORD>[^\W\d][\w.:/-]*)
    | (?P<STRING>'(?:[^']|'')*')
    | (?P<QUOTED>`[^`]+`)
    | (?P<DOUBLE_QUOTED>"(?:[^"]|"")*")
    | (?P<COMPARISON><=|>=|!=|<>|=|<|>)
    | (?P<PUNCTUATION>[(),;])
    """,
    re.VERBOSE,
)


def tokenize(text: str, *, field: str) -> list[Token]:
    """The tokens of a filter or an ordering, the last being the end.

    Raises:
        InvalidArgument: INVALID_FILTER, a character has no place, or a quote is not closed.
    """
    tokens: list[Token] = []
    at, joined = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            what = "is not closed" if text[at] in "'\"`" else "has no place here"
            raise invalid(f"{shown(text[at])} {what}", at + 1, field=field)
        kind = match.lastgroup
        if kind != "SPACE":
            assert kind is not None, "every alternative is a named group"
            tokens.append(Token(TokenKind[kind], _unquoted(kind, match.group()), at + 1, joined))
        joined = kind != "SPACE"
        at = match.end()
    return [*tokens, Token(TokenKind.END, "", len(text) + 1, joined=False)]


def invalid(problem: str, column: int, *, field: str) -> InvalidArgument:
    """The error of a filter or ordering that cannot be understood at ``column``."""
    return InvalidArgument(
        f"The {field} is refused at column {column}: {problem}.",
        reason=Reason.INVALID_FILTER,
        metadata={"column": str(column)},
        field=field,
    )


def _unquoted(kind: str, text: str) -> str:
    if kind == "STRING":
        return text[1:-1].replace("''", "'")
    if kind == "DOUBLE_QUOTED":
        return text[1:-1].replace('""', '"')
    return text[1:-1] if kind == "QUOTED" else text
