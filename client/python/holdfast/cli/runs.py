"""``holdfast runs``."""

from __future__ import annotations

import json

import click

from holdfast.cli import client_of, run_archives
from holdfast.cli.run_tail import tail
from holdfast.cli.tables import printable
from holdfast.cli.times import time_text
from holdfast.entities import Run


@click.group("runs")
def command() -> None:
    """List runs, follow them, and move them between servers."""


command.add_command(tail)
command.add_command(run_archives.export)
command.add_command(run_archives.import_run)


@command.command("ls")
@click.option(
    "--experiment", "-e", "experiments", multiple=True, metavar="NAME|ID", help="Where to look; all without it."
)
@click.option("--filter", "filter_string", default="", help="Such as \"metrics.loss < 0.1 AND params.model = 'cnn'\".")
@click.option("--order-by", multiple=True, help='Such as "metrics.loss ASC"; newest first without it.')
@click.option(
    "--max", "max_results", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each run.")
@click.pass_context
def ls(
    ctx: click.Context,
    *,
    experiments: tuple[str, ...],
    filter_string: str,
    order_by: tuple[str, ...],
    max_results: int,
    as_json: bool,
) -> None:
    """List runs with status, start, name and metrics."""
    with client_of(ctx) as client:
        by_name = {name: client.get_experiment_by_name(name) for name in experiments}
        ids = [found.experiment_id if found else name for name, found in by_name.items()]
        found = client.search_runs(
            ids,
            filter_string,
            max_results=max_results,
            order_by=order_by,
            fields=None if as_json else ["metrics"],
            search_all_experiments=not ids,
        )
        for run in found:
            click.echo(json.dumps(run.to_dictionary()) if as_json else _line(run))


def _line(run: Run) -> str:
    started = time_text(run.info.start_time or 0, seconds=True)
    metrics = " ".join(f"{key}={value:g}" for key, value in run.data.metrics.items())
    return printable(
        f"{run.info.run_id}  {run.info.shown_status:<9}  {started}  {run.info.run_name}  {metrics}"
    ).rstrip()
