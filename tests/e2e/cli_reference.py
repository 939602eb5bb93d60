"""The reference in docs/cli.md, written from the commands themselves: ``make docs`` writes it, a test compares it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.cli import cli, server
from holdfast_server.settings import SETTINGS, Setting

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
MARK = "<!-- Below this line `make docs` writes what the commands say of themselves. -->\n"


def all_commands(group: click.Group = cli, path: str = "holdfast") -> Iterator[tuple[str, click.Command]]:
    """Every command with what one types to run it, groups included."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{path} {name}")


def reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    return "\n".join(part for path, command in [("holdfast", cli), *all_commands()] for part in _section(path, command))


def page_with_reference() -> str:
    """The page as it should be."""
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0] + MARK + "\n" + reference()


def _section(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"{'##' if isinstance(command, click.Group) else '###'} `{path}`\n"
    if not isinstance(command, click.Group) or command.invoke_without_command:
        usage = " ".join([path, *command.collect_usage_pieces(context)]).replace("[OPTIONS]", "[options]")
        yield f"    {usage}\n"
    yield f"{_escaped(inspect.cleandoc(command.help or ''))}\n"
    options = [_option(option) for option in command.params if isinstance(option, click.Option) and not option.is_eager]
    if command is server.command:
        options = [_setting(setting) for setting in SETTINGS]
    if options:
        yield "\n".join(options) + "\n"
    if isinstance(command, click.Group) and command.epilog:
        yield f"{_escaped(command.epilog)}\n"


def _option(option: click.Option) -> str:
    takes = "" if option.is_flag else option.metavar or max(option.opts, key=len).strip("-").upper()
    if isinstance(option.type, click.Choice):
        takes = "|".join(map(str, option.type.choices))
    default = f" Without it: `{option.default}`." if option.show_default and option.default else ""
    names = ", ".join(f"`{name}`" for name in option.opts)
    return f"- {names}{f' `{takes}`' if takes else ''}: {_escaped(option.help or '')}{default}"


def _setting(setting: Setting) -> str:
    """An option of the server, which its own parser reads."""
    takes = f" `{setting.metavar}`" if setting.metavar else ""
    default = f" Without it: `{setting.default}`." if setting.default else ""
    return f"- `{setting.flag}`{takes}, or `{setting.variable}`: {_escaped(setting.help)}{default}"


def _escaped(text: str) -> str:
    return re.sub(r"[<*]", r"\\\g<0>", text)


if __name__ == "__main__":
    PAGE.write_text(page_with_reference(), encoding="utf-8")
