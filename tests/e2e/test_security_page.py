"""docs/security.md does what it says, and tells of every role and every reason."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from tests.e2e.pages import check_page, read_page

from holdfast.cli.token import ROLES

PAGE = read_page("security.md")
REASONS = [
    "TOKEN_MISSING",
    "TOKEN_MALFORMED",
    "TOKEN_UNKNOWN",
    "TOKEN_EXPIRED",
    "TOKEN_REVOKED",
    "WORKER_TOKEN",
    "WORKER_BUDGET_EXHAUSTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "PRINCIPAL_NOT_FOUND",
    "TOKEN_NOT_FOUND",
]


@pytest.mark.slow
@pytest.mark.timeout(360)  # each command is a process, of which a busy machine starts one a second or less
def test_the_page_runs_as_it_reads() -> None:
    folder = Path(tempfile.mkdtemp(prefix="hf"))  # the path of a socket is short
    try:
        assert check_page(PAGE, folder, "--auth", "tokens") > 15
    finally:
        shutil.rmtree(folder)


def test_every_role_is_on_the_page() -> None:
    for role in ROLES:
        assert f"| `{role}` | " in PAGE


def test_every_reason_is_on_the_page() -> None:
    for reason in REASONS:
        assert f"`{reason}`" in PAGE
