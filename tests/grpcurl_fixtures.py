"""A fixture with the real grpcurl, which `make grpcurl` builds once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The release that `make grpcurl` builds; part of the cache's path, so that another one is built beside it.
VERSION = "v1.9.4"
MISSING = "no grpcurl: run `make grpcurl` (needs Go, a minute, once), or name a binary by HOLDFAST_GRPCURL_BIN"


def find_grpcurl() -> Path | None:
    """The binary that HOLDFAST_GRPCURL_BIN names, else the one in the cache, else None."""
    named = os.environ.get("HOLDFAST_GRPCURL_BIN")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else cache / "holdfast" / "grpcurl" / VERSION / "grpcurl"
    return path if os.access(path, os.X_OK) and path.is_file() else None


@pytest.fixture
def grpcurl() -> Path:
    """The binary; without one the test is skipped, or fails when it is required."""
    binary = find_grpcurl()
    if binary is None:
        if os.environ.get("HOLDFAST_REQUIRE_GRPCURL") == "1":
            pytest.fail(f"HOLDFAST_REQUIRE_GRPCURL=1 and {MISSING}", pytrace=False)
        pytest.skip(MISSING)
    return binary


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, in one line, that recipes were not run."""
    skipped = [report for report in terminalreporter.getreports("skipped") if MISSING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"WARNING: {len(skipped)} tests did not run: {MISSING}", red=True, bold=True)
