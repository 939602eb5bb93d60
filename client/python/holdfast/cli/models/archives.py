"""``holdfast models export`` and ``import``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from holdfast.cli import client_of
from holdfast.cli.sizes import size_text


@click.command("export")
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="VERSION", type=click.IntRange(min=1))
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The version and the file, as one JSON object.")
@click.pass_context
def export(ctx: click.Context, name: str, version: int, file: Path, *, as_json: bool) -> None:
    """Write VERSION of the registered model NAME with its files to FILE, a tar archive with all digests.

    FILE appears when it is whole. Aliases and the stage are not in it: they say something about a server.
    """
    with client_of(ctx) as client:
        exported = client.export_model_version(name, version, file)
    size = file.stat().st_size
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(exported), "file": str(file), "file_size": size}))
    else:
        click.echo(f"{exported.name} version {exported.version} is in {file} ({size_text(size)})")


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Register it under this name; the one that it had without it.")
@click.option("--json", "as_json", is_flag=True, help="The version, as one JSON object.")
@click.pass_context
def import_version(ctx: click.Context, file: Path, *, name: str | None, as_json: bool) -> None:
    """Register the version that is in FILE under the next number. Imported again it stays the version that it is.

    All of FILE is checked before anything is sent.
    """
    with client_of(ctx, makes_store=True) as client:
        imported = client.import_model_version(file, name)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(imported)))
    else:
        click.echo(f"{imported.name} version {imported.version} (sha256 {imported.digest[:12]}…)")
