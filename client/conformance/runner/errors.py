"""What may go wrong in a scenario, in words for whoever mends the client."""

from __future__ import annotations


class ConformanceError(Exception):
    """A client does not do what a scenario asks; the text says what was expected and what came."""


class ScenarioFileError(Exception):
    """A file of scenarios is wrong; that is no client's fault."""


class ToolchainMissingError(Exception):
    """What builds a language's driver is not on this machine."""


class BuildError(Exception):
    """A driver cannot be built; the text ends with what the build said."""
