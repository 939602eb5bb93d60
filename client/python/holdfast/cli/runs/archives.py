"""``holdfast runs export`` and ``import``."""

from __future__ import annotations

from pathlib import Path

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.sizes import size_text
from holdfast.cli.tables import printable


@click.command("export")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The run and the file, as one JSON object.")
@click.pass_context
def export(ctx: click.Context, run_id: str, file: Path, *, as_json: bool) -> None:
    """Write the run RUN_ID to FILE, a tar archive with all digests: metrics, files and logged models too.

    FILE appears when it is whole.
    """
    with client_of(ctx) as client:
        run = client.export_run(find_run_id(client, run_id), file)
    size = file.stat().st_size
    if as_json:
        click.echo(json_text({**run.to_dictionary(), "file": str(file), "file_size": size}))
    else:
        click.echo(f"run {run.info.run_id} is in {file} ({size_text(size)})")


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--experiment", metavar="NAME", help="Put it here, created when absent; named as it was without it.")
@click.option("--json", "as_json", is_flag=True, help="The run, as one JSON object.")
@click.pass_context
def import_run(ctx: click.Context, file: Path, *, experiment: str | None, as_json: bool) -> None:
    """Make the run that is in FILE, under the id that it had. Imported again it stays the run that it is.

    All of FILE is checked before anything is sent. An import that ended early goes on when it is repeated.
    """
    with client_of(ctx, makes_store=True) as client:
        run = client.import_run(file, experiment)
    click.echo(json_text(run.to_dictionary()) if as_json else printable(f"run {run.info.run_id} ({run.info.run_name})"))
