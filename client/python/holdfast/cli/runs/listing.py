"""``holdfast runs ls``."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option, limit_options, view_option
from holdfast.cli.paging import Limited
from holdfast.cli.runs.columns import RunColumn, fields_of, parse_columns, usual_columns
from holdfast.cli.tables import print_table
from holdfast.entities import Run, ViewType

if TYPE_CHECKING:
    from holdfast._client import Client

# What one page holds; more comes as a stream, which holds a page of a thousand at the server from the beginning.
_PAGE = 1_000


@click.command("ls")
@click.option(
    "--experiment", "-e", "experiments", multiple=True, metavar="NAME|ID", help="Where to look; everywhere without it."
)
@click.option("--filter", "filter_string", default="", help="Such as \"metrics.loss < 0.1 AND params.model = 'cnn'\".")
@click.option("--order-by", multiple=True, help='Such as "metrics.loss ASC"; newest first without it.')
@view_option()
@click.option(
    "--columns",
    multiple=True,
    callback=parse_columns,
    metavar="NAMES",
    help="Any of id, name, status, started, ended, duration, user, experiment, stage, metrics, params, tags, "
    "metrics.KEY, params.KEY and tags.KEY, with commas between them.",
)
@click.option("--ids", is_flag=True, help="Only ids, one on each line.")
@limit_options(50)
@json_option("One JSON object for each run, with all that it logged.")
@click.pass_context
def ls(
    ctx: click.Context,
    *,
    experiments: tuple[str, ...],
    filter_string: str,
    order_by: tuple[str, ...],
    view: ViewType,
    columns: list[RunColumn] | None,
    ids: bool,
    max_results: int,
    unlimited: bool,
    as_json: bool,
) -> None:
    """List runs, however many: they are printed while they come."""
    limit = None if unlimited else max_results
    columns = columns or usual_columns(everywhere=not experiments)
    fields = ["attributes"] if ids else None if as_json else fields_of(columns)
    with client_of(ctx) as client:
        experiment_ids = [find_experiment(client, text).experiment_id for text in experiments]
        with contextlib.closing(_search(client, experiment_ids, filter_string, view, order_by, fields, limit)) as runs:
            found = Limited(runs, limit)
            if ids:
                for run in found:
                    click.echo(run.info.run_id)
            elif as_json:
                for run in found:
                    click.echo(json_text(run.to_dictionary()))
            else:
                rows = ([column.cell(run) for column in columns] for run in found)
                print_table([column.column for column in columns], rows)
    found.tell()


def _search(  # noqa: PLR0917 - passes on what the command was given
    client: Client,
    experiment_ids: Sequence[str],
    filter_string: str,
    view: ViewType,
    order_by: Sequence[str],
    fields: Sequence[str] | None,
    limit: int | None,
) -> Generator[Run, None, None]:
    """At least one run more than ``limit``, if there is: as a page where one suffices, else as a stream."""
    everywhere = not experiment_ids
    if limit is not None and limit < _PAGE:
        yield from client.search_runs(
            experiment_ids,
            filter_string,
            view,
            limit + 1,
            order_by,
            fields=fields,
            search_all_experiments=everywhere,
        )
    else:
        yield from client.iterate_runs(
            experiment_ids, filter_string, view, order_by, fields=fields, search_all_experiments=everywhere
        )
