"""``holdfast runs show``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import float_text, json_text
from holdfast.cli.options import json_option
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.runs.texts import duration_text, own_tags
from holdfast.cli.sparklines import sparkline
from holdfast.cli.tables import Column, print_pairs, print_table
from holdfast.cli.times import time_text
from holdfast.entities import MetricBucket, Run

if TYPE_CHECKING:
    from holdfast._client import Client

# Ranges of steps that a chart has at most. The server's are a power of two wide, so there may be half as many.
_WIDTH = 32
# Each chart is a call, of a millisecond or two.
_MOST_CHARTS = 100
_CONTEXT = "mlflow.data.context"
# Tags that record how a run came to be, and what to call them.
_ORIGINS = {
    "mlflow.parentRunId": "parent",
    "mlflow.source.name": "source",
    "mlflow.source.git.commit": "commit",
    "mlflow.note.content": "description",
}


@click.command("show")
@click.argument("run_id", metavar="RUN_ID")
@click.option("--no-charts", is_flag=True, help="Only the latest values of metrics, which spares a call for each.")
@json_option("The run, as one JSON object.")
@click.pass_context
def show(ctx: click.Context, run_id: str, *, no_charts: bool, as_json: bool) -> None:
    """Show what the run RUN_ID is, logged, read and made, with a small chart of each metric.

    A chart shows the last value of each range of steps.
    """
    with client_of(ctx) as client:
        run = client.get_run(find_run_id(client, run_id))
        if as_json:
            click.echo(json_text(run.to_dictionary()))
            return
        print_pairs(_pairs(run, client))
        _print_metrics(run, {} if no_charts else _charts(client, run))
    _print_links(run)
    if not no_charts and len(run.data.metrics) > _MOST_CHARTS:
        click.echo(f"The first {_MOST_CHARTS} metrics have charts; `holdfast runs metrics --chart` has all.", err=True)


def _pairs(run: Run, client: Client) -> list[tuple[str, str]]:
    info = run.info
    pairs = {
        "run": info.run_id,
        "name": info.run_name,
        "experiment": f"{info.experiment_id} ({client.get_experiment(info.experiment_id).name})",
        "status": info.shown_status,
        "stage": info.lifecycle_stage if info.lifecycle_stage != "active" else "",
        "started": time_text(info.start_time, seconds=True),
        "ended": time_text(info.end_time, seconds=True),
        "duration": duration_text(run),
        "user": info.user_id,
        **{title: run.data.tags.get(tag, "") for tag, title in _ORIGINS.items()},
        **{f"param {key}": value for key, value in run.data.params.items()},
        **{f"tag {key}": value for key, value in own_tags(run).items()},
    }
    return [
        (title, value)
        for title, value in pairs.items()
        if value not in {"", "-"} or title.startswith(("param ", "tag "))
    ]


def _charts(client: Client, run: Run) -> dict[str, list[MetricBucket]]:
    keys = list(run.data.metrics)[:_MOST_CHARTS]
    return {key: client.get_metric_chart(run.info.run_id, key, _WIDTH) for key in keys}


def _print_metrics(run: Run, charts: dict[str, list[MetricBucket]]) -> None:
    if not run.data.metrics:
        return
    click.echo()
    columns = [Column("METRIC", keep=True), Column("LATEST", right=True, keep=True)]
    if charts:
        titles = ("STEP", "LEAST", "GREATEST", "POINTS")
        columns += [Column(title, right=True, keep=True) for title in titles]
        columns.append(Column("CHART"))
    print_table(
        columns,
        [
            (key, float_text(value), *(_chart_cells(charts.get(key, ())) if charts else ()))
            for key, value in run.data.metrics.items()
        ],
    )


def _chart_cells(chart: Sequence[MetricBucket]) -> tuple[str, ...]:
    if not chart:
        return ("",) * 5
    least = min((bucket.min for bucket in chart if bucket.min is not None), default=None)
    greatest = max((bucket.max for bucket in chart if bucket.max is not None), default=None)
    return (
        str(chart[-1].last_step),
        "-" if least is None else f"{least:g}",
        "-" if greatest is None else f"{greatest:g}",
        f"{sum(bucket.count for bucket in chart):,}",
        sparkline([bucket.last for bucket in chart]),
    )


def _print_links(run: Run) -> None:
    if run.inputs.dataset_inputs:
        click.echo()
        print_table(
            [Column("DATASET"), Column("DIGEST", keep=True), Column("CONTEXT"), Column("SOURCE")],
            [
                (
                    item.dataset.name,
                    item.dataset.digest,
                    next((tag.value for tag in item.tags if tag.key == _CONTEXT), "-"),
                    f"{item.dataset.source_type}: {item.dataset.source}",
                )
                for item in run.inputs.dataset_inputs
            ],
        )
    models = [
        *((read.model_id, "read", "") for read in run.inputs.model_inputs),
        *((made.model_id, "made", str(made.step)) for made in run.outputs.model_outputs),
    ]
    if models:
        click.echo()
        print_table([Column("MODEL", keep=True), Column("THE RUN"), Column("STEP", right=True)], models)
