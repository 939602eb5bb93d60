"""``holdfast server``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

import click


@click.command(
    "server",
    # The server declares its settings, once; its own help is the one to show.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Start a server, as ``python -m holdfast_server`` does. Each setting has an option and a variable."""
    run_server_module("holdfast_server", arguments)


def run_server_module(module: str, arguments: Sequence[str]) -> NoReturn:
    """Become a program of the server's package, or run it and exit as it does where a process cannot become another.

    Raises:
        click.ClickException: The server is not installed.
    """
    missing = [name for name in ("grpc_health", "sqlite_utils") if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException("The server is not installed: pip install 'holdfast[server]'.")
    program = [sys.executable, "-m", module, *arguments]
    if os.name == "posix":
        # The server takes this process's place, so that signals reach it.
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(program[0], program)  # noqa: S606 - our own server
    sys.exit(subprocess.run(program, check=False).returncode)
