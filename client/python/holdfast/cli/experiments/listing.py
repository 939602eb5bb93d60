"""``holdfast experiments ls`` and ``show``."""

from __future__ import annotations

import dataclasses

import click

from holdfast._own_tags import without_own
from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option, limit_options, view_option
from holdfast.cli.paging import Limited, through_pages
from holdfast.cli.tables import Column, print_pairs, print_table
from holdfast.cli.times import short_time, time_text
from holdfast.entities import Experiment, ViewType

_PAGE = 1_000


@click.command("ls")
@view_option()
@click.option("--filter", "filter_string", default="", help="Such as \"name LIKE 'ocr-%' AND tags.team = 'b'\".")
@click.option("--order-by", multiple=True, help='Such as "name ASC"; newest first without it.')
@limit_options(100)
@json_option("One JSON object for each experiment.")
@click.pass_context
def ls(
    ctx: click.Context,
    *,
    view: ViewType,
    filter_string: str,
    order_by: tuple[str, ...],
    max_results: int,
    unlimited: bool,
    as_json: bool,
) -> None:
    """List experiments with their tags."""
    limit = None if unlimited else max_results
    # One more than is shown tells that there is more.
    size = _PAGE if limit is None else min(_PAGE, limit + 1)
    with client_of(ctx) as client:
        found = Limited(
            through_pages(lambda token: client.search_experiments(view, size, filter_string, order_by, token)), limit
        )
        if as_json:
            for experiment in found:
                click.echo(json_text(dataclasses.asdict(experiment)))
        else:
            staged = view != ViewType.ACTIVE_ONLY
            columns = [Column("ID", right=True, keep=True), Column("NAME", keep=True)]
            stage = [Column("STAGE")] if staged else []
            rows = (_row(experiment, staged=staged) for experiment in found)
            times = [Column(title, keep=True, short=short_time) for title in ("CREATED", "CHANGED")]
            print_table([*columns, *stage, *times, Column("TAGS")], rows)
    found.tell()


@click.command("show")
@click.argument("experiment", metavar="EXPERIMENT")
@json_option("The experiment, as one JSON object.")
@click.pass_context
def show(ctx: click.Context, experiment: str, *, as_json: bool) -> None:
    """Show EXPERIMENT, an id or a name, deleted or not, with all of its tags."""
    with client_of(ctx) as client:
        found = find_experiment(client, experiment)
    if as_json:
        click.echo(json_text(dataclasses.asdict(found)))
        return
    print_pairs(
        [
            ("id", found.experiment_id),
            ("name", found.name),
            ("stage", found.lifecycle_stage),
            *([("artifacts", found.artifact_location)] if found.artifact_location else []),
            ("created", time_text(found.creation_time, seconds=True)),
            ("changed", time_text(found.last_update_time, seconds=True)),
            *((f"tag {key}", value) for key, value in without_own(found.tags).items()),
        ]
    )


def _row(experiment: Experiment, *, staged: bool) -> tuple[str, ...]:
    return (
        experiment.experiment_id,
        experiment.name,
        *([experiment.lifecycle_stage] if staged else []),
        time_text(experiment.creation_time),
        time_text(experiment.last_update_time),
        " ".join(f"{key}={value}" for key, value in without_own(experiment.tags).items()),
    )
