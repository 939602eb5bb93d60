"""Counts what was injected and what was seen, over all tests and all processes of a run, and prints it at the end.

A pytest plugin. Counts travel as ``user_properties`` of the tests' reports, which pytest-xdist brings to the process
that prints.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.faults.sizing import Sizing, read_sizing

PROPERTY = "holdfast_faults"
LOST = "acknowledged losses"
PARTIAL = "partial trees seen"


class Scoreboard:
    """What one test injects and sees."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def injected(self, kind: str, backend: str = "local", count: int = 1) -> None:
        """Note faults, such as ``kill: commit:before``; what stands before the colon is the line they are summed in."""
        self._add(f"{backend}/{kind}", count)

    def lost(self, what: str) -> None:
        """Note that something acknowledged does not read back equal, and fail the test."""
        self._add(LOST, 1)
        pytest.fail(f"acknowledged, and lost: {what}", pytrace=False)

    def partial(self, what: str) -> None:
        """Note that something is visible that is neither what was before a call nor after it, and fail the test."""
        self._add(PARTIAL, 1)
        pytest.fail(f"partly visible: {what}", pytrace=False)

    def _add(self, name: str, count: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + count


@pytest.fixture(scope="session")
def sizing() -> Sizing:
    return read_sizing()


@pytest.fixture
def scoreboard(request: pytest.FixtureRequest, sizing: Sizing) -> Scoreboard:
    counts: dict[str, int] = {}
    # Filled while the test runs: its report is made, and sent, after it.
    request.node.user_properties.append((PROPERTY, counts))
    print(f"HOLDFAST_FAULTS={sizing.name} HOLDFAST_FAULTS_SEED={sizing.seed}")  # shown with a failure
    return Scoreboard(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the scoreboard when anything was injected."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, counts in report.user_properties:
                    if name == PROPERTY:
                        total.update(counts)
    if not total:
        return
    lost, partial = total.pop(LOST, 0), total.pop(PARTIAL, 0)
    sizing = read_sizing()
    terminalreporter.section(f"faults: HOLDFAST_FAULTS={sizing.name} HOLDFAST_FAULTS_SEED={sizing.seed}")
    for line in _lines(total):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"{LOST}: {lost}, {PARTIAL}: {partial}", red=bool(lost or partial), bold=True)


def _lines(total: Counter[str]) -> list[str]:
    """One line for each backend and group of kinds: its sum, and the kinds where there are several."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    for name, count in total.items():
        backend, _, kind = name.partition("/")
        group, _, detail = kind.partition(": ")
        groups.setdefault((backend, group), Counter())[detail] += count
    lines = []
    for (backend, group), kinds in sorted(groups.items()):
        details = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()) if kind)
        lines.append(f"{backend:<6} {group:<16} {sum(kinds.values()):>6}  {details}".rstrip())
    return lines
