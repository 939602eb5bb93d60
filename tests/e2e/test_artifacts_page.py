"""docs/artifacts.md does what it says: its programs are written down, its commands run, and their output compared."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from tests.e2e.pages import check_page, read_page

from holdfast.cli import artifacts

PAGE = read_page("artifacts.md")


def test_the_table_of_commands_has_each_of_them() -> None:
    listed = re.findall(r"^\| `holdfast artifacts (\w+)", PAGE, re.MULTILINE)
    assert sorted(listed) == artifacts.command.list_commands(click.Context(artifacts.command))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    assert check_page(PAGE, tmp_path) > 10
