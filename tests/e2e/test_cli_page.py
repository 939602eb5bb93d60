"""docs/cli.md does what it says, and tells of every command, argument and option."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.e2e.cli_reference import MARK, all_commands, page_with_reference
from tests.e2e.pages import check_page, read_page

from holdfast.cli import cli
from holdfast_server.settings import SETTINGS

PAGE = read_page("cli.md")
COMMANDS = [pytest.param(path, command, id=path) for path, command in [("holdfast", cli), *all_commands()]]


@pytest.mark.slow
@pytest.mark.timeout(360)  # each command is a process, of which a busy machine starts one a second or less
def test_the_page_runs_as_it_reads(tmp_path: Path) -> None:
    assert check_page(PAGE, tmp_path) > 20


def test_the_reference_is_what_the_commands_say_of_themselves() -> None:
    assert page_with_reference() == PAGE, "docs/cli.md is behind the commands: run `make docs`"


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_argument_and_option_is_in_the_reference(path: str, command: click.Command) -> None:
    section = PAGE.partition(MARK)[2].partition(f"# `{path}`\n")[2].partition("\n##")[0]
    assert section, path
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_eager:
            assert parameter.help
            assert all(f"`{name}`" in section for name in parameter.opts), parameter.opts
        elif isinstance(parameter, click.Argument):
            assert parameter.make_metavar(click.Context(command)) in section


def test_every_setting_of_the_server_is_in_the_reference() -> None:
    section = PAGE.partition(MARK)[2].partition("# `holdfast server`\n")[2].partition("\n##")[0]
    for setting in SETTINGS:
        assert f"- `{setting.flag}`" in section
        assert f"`{setting.variable}`: " in section
