"""``holdfast completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL (bash, zsh or fish) complete commands and options.

    For bash add to ~/.bashrc:  eval "$(holdfast completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has all that the argument lets through
    click.echo(kind(ctx.find_root().command, {}, "holdfast", "_HOLDFAST_COMPLETE").source())
