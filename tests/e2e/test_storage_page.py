"""docs/storage.md: its examples do what they show, and it names every option."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.e2e.pages import check_page, read_page

from holdfast.cli import cli

PAGE = read_page("storage.md")


@pytest.mark.slow
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    assert check_page(PAGE, tmp_path) > 15


@pytest.mark.parametrize("name", ["gc", "fsck", "du"])
def test_every_option_is_on_the_page_and_has_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert options
    for option in options:
        assert option.help
        assert option.opts[0] in PAGE, f"docs/storage.md does not tell of {name} {option.opts[0]}"
