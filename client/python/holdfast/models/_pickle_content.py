"""What is told of a pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Global", "PickleContent"]


class Global(NamedTuple):
    """A class or function that a pickle refers to by name; empty strings where that cannot be followed."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.module else self.name or "something that cannot be followed"


@dataclass
class PickleContent:
    """What a pickle refers to.

    Attributes:
        globals: Classes and functions by name, each once, in order of appearance.
        called: Those of them that are called; the rest is only referred to.
        modules: Modules that functions stored with their code use.
        problems: What cannot be followed, in words; empty when everything was.
        size: Bytes up to the end of the pickle.
    """

    globals: dict[Global, None] = field(default_factory=dict)
    called: dict[Global, None] = field(default_factory=dict)
    modules: dict[str, None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    size: int = 0
