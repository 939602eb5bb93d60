"""``holdfast artifacts``."""

from __future__ import annotations

import dataclasses
import json

import click

from holdfast.cli import client_of
from holdfast.cli.tail import tail


@click.group("artifacts")
def command() -> None:
    """List and fetch artifacts."""


command.add_command(tail)


@command.command("ls")
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file or directory.")
@click.pass_context
def ls(ctx: click.Context, uri: str, *, as_json: bool) -> None:
    """List one level of URI, such as runs:/<run_id>/plots or models:/<name>@<alias>."""
    with client_of(ctx) as client:
        for entry in client.artifacts.list(uri):
            if as_json:
                click.echo(json.dumps(dataclasses.asdict(entry)))
            else:
                size = "" if entry.file_size is None else entry.file_size
                click.echo(f"{size:>14}  {entry.path}{'/' if entry.is_dir else ''}")


@command.command("get")
@click.argument("uri")
@click.argument("destination", type=click.Path(file_okay=False))
@click.pass_context
def get(ctx: click.Context, uri: str, destination: str) -> None:
    """Fetch URI, a file or directory, into the directory DESTINATION and print where it is."""
    with client_of(ctx) as client:
        click.echo(client.download_artifacts(artifact_uri=uri, dst_path=destination))
