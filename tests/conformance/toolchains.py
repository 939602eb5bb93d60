"""Says loudly which languages were left out; a plugin of the whole run."""

from __future__ import annotations

import re

import pytest

LEFT_OUT = "conformance of {} did not run: {}"
_LEFT_OUT = re.compile(LEFT_OUT.format("([a-z]+)", "([^\"'\n]*)"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("skipped")
    found = {match[0] for report in reports if (match := _LEFT_OUT.search(str(report.longrepr)))}
    for line in sorted(found):
        terminalreporter.write_line(f"WARNING: {line}", red=True, bold=True)
