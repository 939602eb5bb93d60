"""docs/backup.md: its example does what it shows, and it names every option."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.e2e.pages import check_page, read_page

from holdfast.cli import cli

PAGE = read_page("backup.md")


@pytest.mark.slow
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    assert check_page(PAGE, tmp_path) > 5


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_every_option_is_on_the_page(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.opts[0] in PAGE, f"docs/backup.md does not tell of {name} {option.opts[0]}"
