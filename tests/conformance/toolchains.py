"""Says loudly which languages were left out; a plugin of the whole run."""

from __future__ import annotations

import os
import re
from typing import NoReturn

import pytest
from client.conformance.runner.__main__ import REQUIRE_VARIABLE

LEFT_OUT = "conformance of {} did not run: {}"
_LEFT_OUT = re.compile(LEFT_OUT.format("([a-z]+)", "([^\"'\n]*)"))


def leave_out(language: str, why: str) -> NoReturn:
    """Skip a test whose language has no toolchain here, which the run's end tells; a failure where all are required."""
    told = LEFT_OUT.format(language, why)
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(told, pytrace=False)
    pytest.skip(told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("skipped")
    found = {match[0] for report in reports if (match := _LEFT_OUT.search(str(report.longrepr)))}
    for line in sorted(found):
        terminalreporter.write_line(f"WARNING: {line}", red=True, bold=True)
