"""Groups of commands that import a command when it is run, so that each starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

# What people type for each other; groups list one of them.
_SAME = {"ls": "list", "list": "ls"}


class LazyGroup(click.Group):
    """A group that knows its commands' names and what they are for, and imports one when it is run.

    Args:
        lazy: For each name the place of the command, ``module:attribute`` (``command`` without one), and its help.
        options: Those of ``click.Group``.
    """

    def __init__(self, *, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, sorted."""
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command; None when there is none of this name. ``ls`` and ``list`` are the same everywhere."""
        if cmd_name not in self._lazy:
            cmd_name = _SAME.get(cmd_name, cmd_name)
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name][1]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What can stand here, without importing the commands: a shell asks at each press of a key."""
        found = [
            CompletionItem(name, help=self._lazy[name][1])
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
