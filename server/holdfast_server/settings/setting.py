"""What a setting is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PREFIX = "HOLDFAST_SERVER_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of the server.

    Attributes:
        name: What flag and variable are made of.
        field: The field of ``ServerConfig`` that it feeds; empty when only the process itself needs it.
        default: As one would write it on the command line; ``off`` for switches.
        help: One line.
        parse: Reads the text of a flag or variable; raises ``ValueError`` with the rule.
        metavar: What the value is, in help; empty for a switch.
    """

    name: str
    field: str
    default: str
    help: str
    parse: Callable[[str], Any]
    metavar: str = ""

    @property
    def flag(self) -> str:
        """Such as ``--data-dir``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Such as ``HOLDFAST_SERVER_DATA_DIR``."""
        return PREFIX + self.name.upper()
