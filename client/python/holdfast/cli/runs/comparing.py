"""``holdfast runs compare``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import float_text, json_text
from holdfast.cli.options import json_option
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.runs.texts import duration_text, own_tags
from holdfast.cli.tables import Column, print_table
from holdfast.cli.times import time_text
from holdfast.entities import Run

Values = Sequence[Any]


@click.command("compare")
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@click.option("--diff", is_flag=True, help="Only params, metrics and tags in which the runs differ.")
@click.option("--tags", "with_tags", is_flag=True, help="Tags as well, but for those that record how a run came to be.")
@json_option("One JSON object: for each key of params, metrics and tags a list, in the order of the runs.")
@click.pass_context
def compare(ctx: click.Context, run_ids: tuple[str, ...], *, diff: bool, with_tags: bool, as_json: bool) -> None:
    """Show params and latest metrics of each RUN_ID... side by side; there are at least two.

    What a run does not have is `-`, and null in JSON.
    """
    if len(run_ids) < 2:
        raise click.UsageError("Name at least two runs to compare.")
    with client_of(ctx) as client:
        runs = [client.get_run(find_run_id(client, run_id)) for run_id in run_ids]
    compared = {
        "params": side_by_side([run.data.params for run in runs], differing=diff),
        "metrics": side_by_side([run.data.metrics for run in runs], differing=diff),
        **({"tags": side_by_side([own_tags(run) for run in runs], differing=diff)} if with_tags else {}),
    }
    if as_json:
        infos = [run.to_dictionary()["info"] for run in runs]
        click.echo(json_text({"runs": infos, **compared}))
        return
    columns = [Column("", keep=True), *(Column(run.info.run_name) for run in runs)]
    print_table(columns, [*_attribute_rows(runs), *_value_rows(compared)])


def side_by_side(maps: Sequence[Mapping[str, Any]], *, differing: bool) -> dict[str, Values]:
    """For each key the values that the maps have, None where one has none; keys in the order in which they come up.

    Args:
        maps: Values by key.
        differing: Leave out keys that have the same value in all maps; NaN is the same as NaN.
    """
    keys = dict.fromkeys(key for values in maps for key in values)
    found = {key: [values.get(key) for values in maps] for key in keys}
    if not differing:
        return dict(found)
    return {key: values for key, values in found.items() if not all(_same(values[0], value) for value in values[1:])}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def _attribute_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    yield ["run", *(run.info.run_id for run in runs)]
    yield ["experiment", *(run.info.experiment_id for run in runs)]
    yield ["status", *(run.info.shown_status for run in runs)]
    yield ["started", *(time_text(run.info.start_time, seconds=True) for run in runs)]
    yield ["duration", *(duration_text(run) for run in runs)]


def _value_rows(compared: Mapping[str, Mapping[str, Values]]) -> Iterator[list[str]]:
    for kind, rows in compared.items():
        for key, values in rows.items():
            yield [f"{kind.removesuffix('s')} {key}", *map(_cell, values)]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return float_text(value) if isinstance(value, float) else str(value)
