"""The command ``holdfast``. Its parts are imported when they are asked for, so that each starts fast."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import click

from holdfast.cli.lazy import LazyGroup
from holdfast.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    HoldfastError,
    InvalidArgumentError,
    NotFoundError,
)

_COMMANDS = {
    "access": ("holdfast.cli.access", "Say who may do what, and list it."),
    "artifacts": ("holdfast.cli.artifacts", "List, fetch, store, check and remove artifacts."),
    "audit": ("holdfast.cli.audit", "Tell who changed what, and verify the log of it."),
    "backup": ("holdfast.cli.backups:backup", "Back up a data directory and its blocks, while servers use it."),
    "cache": ("holdfast.cli.cache", "Show or clear the cache of models on this machine."),
    "completion": ("holdfast.cli.completion", "Print what makes a shell complete commands and options."),
    "config": ("holdfast.cli.config", "Show the settings of clients and servers, and where each is from."),
    "doctor": ("holdfast.cli.doctor", "Check this machine, the server and what is between, and say what to do."),
    "du": ("holdfast.cli.storage:du", "Tell what takes how much space."),
    "experiments": (
        "holdfast.cli.experiments",
        "Create, list, show, follow, rename, tag, delete and restore experiments.",
    ),
    "fsck": ("holdfast.cli.storage:fsck", "Find what is lost or damaged in the store."),
    "gc": ("holdfast.cli.storage:gc", "Free the space of what nothing needs."),
    "logged-models": ("holdfast.cli.logged_models", "List, show, tag, delete and restore the models that runs logged."),
    "models": (
        "holdfast.cli.models",
        "Register, list, show, follow, change, serve, promote, export and import models.",
    ),
    "restore": ("holdfast.cli.backups:restore", "Bring a backup back, or verify it."),
    "runs": ("holdfast.cli.runs", "List, show, compare, log, follow, delete and move runs."),
    "server": ("holdfast.cli.server", "Start a server, or make what it needs."),
    "sync": ("holdfast.cli.sync", "Send what processes logged and could not send before they ended."),
    "token": ("holdfast.cli.token", "Make, list and revoke the tokens by which a server knows who calls."),
    "whoami": ("holdfast.cli.token:whoami", "Tell who the server takes you for."),
}

FAILED = 1
# What shells say of a program that a signal ended: 128 and the signal's number, of SIGINT and SIGPIPE.
INTERRUPTED, PIPE_CLOSED = 130, 141

# What a command that did not find something has to tell besides.
_WHERE_TO_LOOK = {
    "PRINCIPAL_NOT_FOUND": "`holdfast access ls` lists the principals there.",
    "EXPERIMENT_NOT_FOUND": "`holdfast experiments ls` lists the experiments there.",
    "RUN_NOT_FOUND": "`holdfast runs ls` lists the runs there.",
    "FILE_NOT_FOUND": "`holdfast artifacts ls` lists what there is.",
    "MODEL_NOT_FOUND": "`holdfast logged-models ls` lists the logged models there.",
    "REGISTERED_MODEL_NOT_FOUND": "`holdfast models list` lists the models there.",
}
# For these nobody has to look into the server's log.
_SPEAK_FOR_THEMSELVES = (AlreadyExistsError, FailedPreconditionError, InvalidArgumentError, NotFoundError)


class _Holdfast(LazyGroup):
    """The root: it turns whatever ends a command into one line on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was given."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            _leave(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read the output has seen enough. What is still buffered must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(PIPE_CLOSED)
        except HoldfastError as error:
            raise click.ClickException(_one_line(error, ctx)) from error
        except OSError as error:
            raise click.ClickException(str(error)) from error
        return result


@click.group(
    cls=_Holdfast,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrongly called, 130 interrupted. docs/cli.md has more.",
)
@click.option("--uri", metavar="URI", help="The server or data directory; HOLDFAST_URI, or ./.holdfast, without it.")
@click.version_option(package_name="holdfast")
@click.pass_context
def cli(ctx: click.Context, uri: str | None) -> None:
    """Holdfast keeps what machine-learning runs produce."""
    ctx.obj = uri


def main(args: Sequence[str] | None = None) -> None:
    """Run the command and exit; errors are one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is no reason to fail.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    # gRPC would add lines of its own to the one that says what failed.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    cli.main(args=args, prog_name="holdfast", standalone_mode=True)


def client_of(ctx: click.Context, *, makes_store: bool = False) -> Any:
    """The client of the server that the options name. What only reads does not make a store.

    Raises:
        click.ClickException: The options name a directory without one.
    """
    from holdfast._client import Client

    # A command says whether it was done; nothing waits for a server behind its back.
    client = Client(ctx.find_root().obj, strict=True)
    folder = client.channel.target.data_dir
    if folder is not None and not makes_store and not (folder / "holdfast.db").exists():
        raise click.ClickException(f"There is no Holdfast store in {folder}. Name one by --uri or HOLDFAST_URI.")
    return client


def _one_line(error: HoldfastError, ctx: click.Context) -> str:
    from holdfast.cli.tables import printable

    # Names in it may be anything.
    text = printable(" ".join(error.message.split()))
    if isinstance(error, NotFoundError) and error.reason in _WHERE_TO_LOOK:
        from holdfast._config import parse_target

        # The wrong server is as likely as the wrong name.
        text += f" Asked at {parse_target(ctx.find_root().obj).uri}; {_WHERE_TO_LOOK[error.reason]}"
    if error.request_id and not isinstance(error, _SPEAK_FOR_THEMSELVES):
        text += f" [request {error.request_id}]"
    return text


def _leave(code: int) -> None:
    """End the program; not even a thread that waits for a disk may hold it up."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)
