"""docs/registry.md does what it says: its programs are written down, its commands run, and their output compared."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.e2e.pages import check_page, read_page

from holdfast.cli import models, runs

PAGE = read_page("registry.md")
COMMANDS = {
    **{f"models {name}": models.command.get_command(click.Context(models.command), name) for name in models._COMMANDS},
    **{f"runs {name}": runs.command.get_command(click.Context(runs.command), name) for name in ("export", "import")},
}


@pytest.mark.slow
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    assert check_page(PAGE, tmp_path) > 10


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_on_the_page(name: str) -> None:
    command = COMMANDS[name]
    assert command is not None
    assert f"| `holdfast {name} " in PAGE or f"| `holdfast {name}`" in PAGE
    for option in command.params:
        # docs/serving.md has the options of a server, and a test of its own.
        if isinstance(option, click.Option) and option.opts[0] != "--json" and name != "models serve":
            assert f"`{max(option.opts, key=len)}`" in PAGE, f"docs/registry.md does not tell of {name} {option.opts}"
