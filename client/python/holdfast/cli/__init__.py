"""The command ``holdfast``. Its parts are imported when they are asked for, so that each starts fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from holdfast.errors import HoldfastError

_COMMANDS = {
    "artifacts": ("holdfast.cli.artifacts", "List and fetch artifacts."),
    "du": ("holdfast.cli.storage:du", "Tell what takes how much space."),
    "fsck": ("holdfast.cli.storage:fsck", "Find what is lost or damaged in the store."),
    "gc": ("holdfast.cli.storage:gc", "Free the space of what nothing needs."),
    "runs": ("holdfast.cli.runs", "List runs."),
    "server": ("holdfast.cli.server", "Start a server."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command; None when there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--uri", metavar="URI", help="The server or data directory; HOLDFAST_URI, or ./.holdfast, without it.")
@click.version_option(package_name="holdfast")
@click.pass_context
def cli(ctx: click.Context, uri: str | None) -> None:
    """Holdfast keeps what machine-learning runs produce."""
    ctx.obj = uri


def main(args: Sequence[str] | None = None) -> None:
    """Run the command and exit; errors are one line on standard error."""
    try:
        cli.main(args=args, prog_name="holdfast", standalone_mode=True)
    except HoldfastError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def client_of(ctx: click.Context) -> Any:
    """The client of the server that the options name. What only reads does not make a store.

    Raises:
        click.ClickException: The options name a directory without one.
    """
    from holdfast._client import Client

    client = Client(ctx.find_root().obj)
    folder = client.channel.target.data_dir
    if folder is not None and not (folder / "holdfast.db").exists():
        raise click.ClickException(f"There is no Holdfast store in {folder}. Name one by --uri or HOLDFAST_URI.")
    return client
