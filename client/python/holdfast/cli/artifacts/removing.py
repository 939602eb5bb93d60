"""``holdfast artifacts rm``."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from holdfast.cli import client_of
from holdfast.cli.artifacts.uris import artifact_uri, run_path
from holdfast.cli.sizes import count_text, size_text
from holdfast.entities import FileInfo


@click.command("rm")
@click.argument("uris", metavar="URI...", nargs=-1, required=True, type=artifact_uri)
@click.option("-r", "--recursive", is_flag=True, help="Remove directories too, with all below them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before directories are removed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each URI that was removed.")
@click.pass_context
def rm(ctx: click.Context, uris: tuple[str, ...], *, recursive: bool, yes: bool, as_json: bool) -> None:
    """Remove URI, a file or with -r a directory of a run. runs:/<run_id> stands for all artifacts of the run.

    Registered versions keep what they show. The space becomes free when the server collects its garbage.
    """
    targets = {uri: run_path(uri, "rm") for uri in uris}
    with client_of(ctx) as client:
        # All is looked at before anything is removed.
        found = {uri: _below(client, uri, path, recursive=recursive) for uri, (_, path) in targets.items()}
        for uri, entries in found.items():
            if entries is not None and not yes:
                _ask(uri, entries)
        for uri, (run_id, path) in targets.items():
            client.delete_artifacts(run_id, path or None)
            if as_json:
                files = [entry for entry in found[uri] or () if not entry.is_dir]
                click.echo(json.dumps({"uri": uri, "is_dir": found[uri] is not None, "files": len(files) or 1}))


def _below(client: Any, uri: str, path: str, *, recursive: bool) -> list[FileInfo] | None:
    """What a directory holds; None for a file.

    Raises:
        click.UsageError: It is a directory, and only files are to be removed.
        NotFoundError: It is not there, or is not the run's own.
    """
    for location in client.artifacts.locate(uri):
        if location.owner.model_id and path:
            raise click.UsageError(
                f"{uri} is the logged model {location.owner.model_id}, and what a model holds does not change."
            )
    entries: list[FileInfo] = client.artifacts.list(uri, recursive=True, itself=True)
    if len(entries) == 1 and entries[0].path == path:
        return None
    if not recursive:
        raise click.UsageError(f"{uri} is a directory: pass -r to remove it with all below it.")
    return entries


def _ask(uri: str, entries: list[FileInfo]) -> None:
    files = [entry for entry in entries if not entry.is_dir]
    what = f"{uri} with {count_text(len(files), 'file')}, {size_text(sum(entry.file_size or 0 for entry in files))}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} would be removed, and nobody can be asked here: pass --yes.")
    click.confirm(f"Remove {what}?", abort=True, err=True)
