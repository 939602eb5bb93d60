"""The table of languages and scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from client.conformance.runner.playing import Outcome

# What stands where nothing was played: on this store it makes no difference.
NOT_PLAYED = "·"


@dataclass(frozen=True, slots=True)
class Results:
    """What came of the scenarios on one store.

    Attributes:
        store: ``local`` or ``minio``.
        scenarios: Names, in the order of the table.
        outcomes: By language, then by scenario.
        missing: Why a language was left out.
    """

    store: str
    scenarios: Sequence[str]
    outcomes: Mapping[str, Mapping[str, Outcome]]
    missing: Mapping[str, str]

    def table(self) -> str:
        """A row for each scenario, a column for each language, seconds in the cells."""
        languages = [*self.outcomes, *self.missing]
        name_width = max(len(name) for name in [*self.scenarios, self.store])
        widths = [max(len(language), 7) for language in languages]
        rows = [[self.store, *languages]]
        rows += [[name, *(self._cell(language, name) for language in languages)] for name in self.scenarios]
        rows.append(["", *(self._sum(language) for language in languages)])
        return "\n".join(
            f"{row[0]:<{name_width}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True)).rstrip()
            for row in rows
        )

    def _cell(self, language: str, scenario: str) -> str:
        if language in self.missing:
            return "missing"
        outcome = self.outcomes[language].get(scenario)
        if outcome is None:
            return NOT_PLAYED
        return "FAILED" if outcome.failure else f"{outcome.seconds:.1f} s"

    def _sum(self, language: str) -> str:
        if language in self.missing:
            return "missing"
        played = self.outcomes[language].values()
        return f"{sum(not outcome.failure for outcome in played)}/{len(played)}"
