"""``holdfast server``: it starts one, and has commands for whoever runs it."""

from __future__ import annotations

import click

from holdfast.cli.lazy import LazyGroup
from holdfast.cli.server.launching import hand_over

_COMMANDS = {
    "config": ("holdfast.cli.server.config", "Show the settings that a server here would have."),
    "tls-init": ("holdfast.cli.server.tls_init", "Make a certificate authority and certificates for a trial."),
}


class _ServerGroup(LazyGroup):
    """A group that starts a server unless its first argument names one of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave to the server's own parser what is meant for it."""
        if args and args[0] in self.list_commands(ctx):
            return super().parse_args(ctx, args)
        ctx.obj = list(args)
        return []

    def invoke(self, ctx: click.Context) -> None:
        """Start the server, or run the command."""
        if isinstance(ctx.obj, list):
            hand_over(ctx.obj)
        super().invoke(ctx)


# The server declares its settings, once, and its own help is the one to show: it lists these commands too.
@click.group(
    "server",
    cls=_ServerGroup,
    lazy=_COMMANDS,
    add_help_option=False,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
)
def command() -> None:
    """Start a server, or run a command for one. Each setting has an option and a variable."""
