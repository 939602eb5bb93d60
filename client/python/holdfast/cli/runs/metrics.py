"""``holdfast runs metrics``."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import float_text, json_text
from holdfast.cli.options import json_option
from holdfast.cli.paging import through_pages
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.tables import printable
from holdfast.entities import Metric, MetricBucket
from holdfast.errors import NotFoundError

if TYPE_CHECKING:
    from holdfast._client import Client

_PAGE = 10_000
_MOST_BUCKETS = 5_000
# Columns of the two kinds of rows, which are the keys of the JSON objects too.
_POINT = [field.name for field in dataclasses.fields(Metric) if field.name != "run_id"]
_BUCKET = ["key", *(field.name for field in dataclasses.fields(MetricBucket))]


@click.command("metrics")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option(
    "--chart",
    "buckets",
    type=click.IntRange(1, _MOST_BUCKETS),
    metavar="RANGES",
    help="At most so many ranges of steps with their least, greatest and last values, instead of all points.",
)
@click.option("--min-step", type=int, metavar="STEP", help="With --chart: only points of this step or later.")
@click.option("--max-step", type=int, metavar="STEP", help="With --chart: only points of this step or earlier.")
@json_option("One JSON object for each point or range, in place of CSV.")
@click.pass_context
def metrics(
    ctx: click.Context,
    run_id: str,
    keys: tuple[str, ...],
    *,
    buckets: int | None,
    min_step: int | None,
    max_step: int | None,
    as_json: bool,
) -> None:
    """Print all points of each [KEY...] of the run RUN_ID, or of all its metrics, by step, as CSV.

    Points are printed while they come. Times are milliseconds since 1970.
    """
    if buckets is None and (min_step is not None or max_step is not None):
        raise click.UsageError("--min-step and --max-step go with --chart.")
    with client_of(ctx) as client:
        run = client.get_run(find_run_id(client, run_id))
        missing = [key for key in keys if key not in run.data.metrics]
        if missing:
            known = ", ".join(list(run.data.metrics)[:20]) or "none"
            raise NotFoundError(f"Run {run.info.run_id} has no metric {missing[0]!r}; it has {known}.")
        wanted = keys or tuple(run.data.metrics)
        if buckets is None:
            rows = _points(client, run.info.run_id, wanted)
        else:
            rows = _buckets(client, run.info.run_id, wanted, buckets, min_step, max_step)
        if as_json:
            for row in rows:
                click.echo(json_text(row))
        else:
            _print_csv(_POINT if buckets is None else _BUCKET, rows)


def _points(client: Client, run_id: str, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for key in keys:

        def page(token: str | None, key: str = key) -> Any:
            return client.get_metric_history(run_id, key, _PAGE, token)

        for point in through_pages(page):
            yield {name: getattr(point, name) for name in _POINT}


def _buckets(  # noqa: PLR0917 - passes on what the command was given
    client: Client, run_id: str, keys: tuple[str, ...], buckets: int, min_step: int | None, max_step: int | None
) -> Iterator[dict[str, Any]]:
    for key in keys:
        for bucket in client.get_metric_chart(run_id, key, buckets, min_step=min_step, max_step=max_step):
            yield {"key": key, **dataclasses.asdict(bucket)}


def _print_csv(columns: list[str], rows: Iterator[dict[str, Any]]) -> None:
    # In a file names are as they are; a terminal must not obey them.
    shown = printable if sys.stdout.isatty() else str
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row[column], shown) for column in columns])
        if line.tell() > 65_536:
            _take(line)
    _take(line)


def _field(value: Any, shown: Any) -> str:
    if value is None:
        return ""
    return float_text(value) if isinstance(value, float) else shown(str(value))


def _take(line: io.StringIO) -> None:
    click.echo(line.getvalue(), nl=False)
    line.seek(0)
    line.truncate()
