"""``holdfast logged-models ls`` and ``show``."""

from __future__ import annotations

from collections.abc import Iterable

import click

from holdfast._own_tags import without_own
from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.json_output import float_text, json_text
from holdfast.cli.logged_models.naming import every_experiment_id, find_model_id
from holdfast.cli.options import json_option, limit_options, view_option
from holdfast.cli.paging import Limited, through_pages
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.tables import Column, print_pairs, print_table
from holdfast.cli.times import short_time, time_text
from holdfast.entities import LoggedModel, Metric, ViewType

_PAGE = 1_000
# Of an id on a narrow terminal: what stands before the digits, and ten of them, as for runs.
_SHORT_ID = 12


@click.command("ls")
@click.option(
    "--experiment", "-e", "experiments", multiple=True, metavar="NAME|ID", help="Where to look; everywhere without it."
)
@click.option("--run", metavar="RUN_ID", help="Only those that this run logged.")
@click.option("--filter", "filter_string", default="", help="Such as \"metrics.acc > 0.9 AND params.depth = '3'\".")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only as measured on one of these datasets.")
@click.option("--order-by", multiple=True, help='Such as "metrics.acc DESC"; newest first without it.')
@view_option()
@click.option("--ids", is_flag=True, help="Only ids, one on each line.")
@limit_options(50)
@json_option("One JSON object for each logged model, with all that it has.")
@click.pass_context
def ls(
    ctx: click.Context,
    *,
    experiments: tuple[str, ...],
    run: str | None,
    filter_string: str,
    datasets: tuple[str, ...],
    order_by: tuple[str, ...],
    view: ViewType,
    ids: bool,
    max_results: int,
    unlimited: bool,
    as_json: bool,
) -> None:
    """List logged models with their newest metrics."""
    limit = None if unlimited else max_results
    # One more than is shown tells that there is more.
    size = _PAGE if limit is None else min(_PAGE, limit + 1)
    with client_of(ctx) as client:
        run_id = find_run_id(client, run) if run else None
        named = [find_experiment(client, text).experiment_id for text in experiments]
        experiment_ids = named or ([] if run_id else every_experiment_id(client))
        found = Limited(
            through_pages(
                lambda token: client.search_logged_models(
                    experiment_ids,
                    filter_string,
                    [{"dataset_name": name} for name in datasets],
                    size,
                    order_by,
                    token,
                    source_run_id=run_id,
                    view_type=view,
                    fields=None if as_json else ["attributes"] if ids else ["metrics"],
                )
            ),
            limit,
        )
        if as_json:
            for model in found:
                click.echo(json_text(model.to_dictionary()))
        elif ids:
            for model in found:
                click.echo(model.model_id)
        else:
            _print_models(found, staged=view != ViewType.ACTIVE_ONLY)
    found.tell()


@click.command("show")
@click.argument("model_id", metavar="MODEL_ID")
@json_option("The logged model, as one JSON object.")
@click.pass_context
def show(ctx: click.Context, model_id: str, *, as_json: bool) -> None:
    """Show the logged model MODEL_ID, deleted or not, with its params, tags, metrics and versions."""
    with client_of(ctx) as client:
        model = client.get_logged_model(find_model_id(client, model_id), allow_deleted=True)
        if as_json:
            click.echo(json_text(model.to_dictionary()))
            return
        experiment = client.get_experiment(model.experiment_id).name
    print_pairs(_pairs(model, experiment))
    if model.metrics:
        click.echo()
        print_table(
            [
                Column("METRIC", keep=True),
                Column("LATEST", right=True, keep=True),
                Column("STEP", right=True, keep=True),
                Column("DATASET"),
                Column("DIGEST"),
                Column("RUN"),
            ],
            [
                (
                    point.key,
                    float_text(point.value),
                    str(point.step),
                    point.dataset_name or "-",
                    point.dataset_digest or "-",
                    point.run_id or "-",
                )
                for point in model.metrics
            ],
        )


def _print_models(models: Iterable[LoggedModel], *, staged: bool) -> None:
    columns = [
        Column("MODEL ID", keep=True, short=lambda text: text[:_SHORT_ID]),
        Column("EXPERIMENT", right=True, keep=True, short_title="EXP"),
        Column("STATUS", keep=True),
        *([Column("STAGE", keep=True)] if staged else []),
        Column("CREATED", keep=True, short=short_time),
        Column("NAME"),
        Column("METRICS"),
    ]
    print_table(
        columns,
        (
            (
                model.model_id,
                model.experiment_id,
                model.status.value,
                *([model.lifecycle_stage] if staged else []),
                time_text(model.creation_timestamp, seconds=True),
                model.name,
                " ".join(map(_metric_text, model.metrics)),
            )
            for model in models
        ),
    )


def _metric_text(point: Metric) -> str:
    dataset = f"[{point.dataset_name}]" if point.dataset_name else ""
    return f"{point.key}{dataset}={point.value:g}"


def _pairs(model: LoggedModel, experiment: str) -> list[tuple[str, str]]:
    pairs = {
        "model": model.model_id,
        "name": model.name,
        "experiment": f"{model.experiment_id} ({experiment})",
        "run": model.source_run_id,
        "type": model.model_type,
        "status": model.status.value,
        "reason": model.status_message,
        "stage": model.lifecycle_stage if model.lifecycle_stage != "active" else "",
        "created": time_text(model.creation_timestamp, seconds=True),
        "changed": time_text(model.last_updated_timestamp, seconds=True),
        "logged by": model.principal,
        "versions": ", ".join(f"{name}/{version}" for name, version in model.registrations),
    }
    return [
        *((title, value) for title, value in pairs.items() if value),
        *((f"param {key}", value) for key, value in model.params.items()),
        *((f"tag {key}", value) for key, value in without_own(model.tags).items()),
    ]
