"""``holdfast artifacts put``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli import client_of
from holdfast.cli.artifacts.options import symlinks_option
from holdfast.cli.artifacts.reporting import report, summary_json
from holdfast.cli.artifacts.uris import artifact_uri, run_path

if TYPE_CHECKING:
    from holdfast._transfer.progress import Progress

STDIN = "-"


@click.command("put")
@click.argument("local", nargs=-1, required=True)
@click.argument("uri", type=artifact_uri)
@click.option("--name", help="What to call it in the run; needed for standard input.")
@click.option("--contents", is_flag=True, help="Store what is in the directories, not the directories themselves.")
@symlinks_option(help="Follow the links that stay inside a directory and refuse others, or follow all.")
@click.option("-q", "--quiet", is_flag=True, help="Neither bar nor report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_context
def put(
    ctx: click.Context,
    local: tuple[str, ...],
    uri: str,
    *,
    name: str | None,
    contents: bool,
    symlinks: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Store LOCAL, files and directories, in the directory URI of a run: runs:/<run_id> or runs:/<run_id>/<path>.

    All of it becomes visible at once, or nothing. What the server has is not sent again, so that the same command after
    an interruption goes on where it was. LOCAL may be -, standard input, which is stored as it comes in bounded memory.
    """
    run_id, folder = run_path(uri, "put")
    _check(local, name, contents=contents)
    from holdfast._transfer.progress import Progress
    from holdfast.v1 import artifact_pb2

    owner = artifact_pb2.TreeOwner(run_id=run_id)
    with client_of(ctx) as client:
        progress = Progress("storing", shown=False if quiet else None)
        if local == (STDIN,):
            stored = client.artifacts.log_stream(owner, sys.stdin.buffer, _below(folder, name or ""), progress=progress)
        else:
            stored = client.artifacts.log_paths(
                owner, [Path(path) for path in local], folder or None,
                name=name, contents=contents, symlinks=symlinks, progress=progress,
            )  # fmt: skip
    _tell(uri, stored, progress, quiet=quiet, as_json=as_json)


def _check(local: tuple[str, ...], name: str | None, *, contents: bool) -> None:
    if STDIN in local and (len(local) > 1 or not name):
        raise click.UsageError("Standard input is stored alone, and needs a name: put - runs:/<run_id> --name FILE.")
    if name and (len(local) > 1 or contents):
        raise click.UsageError("--name names one file or directory; leave it out, or store them one by one.")


def _tell(uri: str, stored: Any, progress: Progress, *, quiet: bool, as_json: bool) -> None:
    summary = progress.summary
    if as_json:
        moved = summary_json(summary, "sent_bytes")
        click.echo(json.dumps({"uri": uri, **moved, "saved_bytes": summary.saved, "sequence": stored.sequence}))
    elif not quiet:
        report("Stored", summary)


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
