"""Turns this process into the server's program, which the client does not import."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

import click


def hand_over(arguments: Sequence[str], module: str = "holdfast_server") -> NoReturn:
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
