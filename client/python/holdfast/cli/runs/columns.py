"""Columns of the table of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from holdfast.cli.runs.texts import duration_text, own_tags, pairs_text
from holdfast.cli.tables import Column
from holdfast.cli.times import short_time, time_text
from holdfast.entities import Run


@dataclass(frozen=True, slots=True)
class RunColumn:
    """A column of the table of runs.

    Attributes:
        column: How it is laid out.
        cell: What it says of a run.
        field: What of a run it needs, as ``fields`` of ``search_runs`` names it; None for its attributes.
    """

    column: Column
    cell: Callable[[Run], str]
    field: str | None = None


# Digits of an id on a narrow terminal; commands take them. Of 100,000 runs two have the same with a chance of 0.5 %.
_SHORT_ID = 10

_ATTRIBUTES: dict[str, RunColumn] = {
    "id": RunColumn(Column("RUN ID", keep=True, short=lambda text: text[:_SHORT_ID]), lambda run: run.info.run_id),
    "name": RunColumn(Column("NAME"), lambda run: run.info.run_name),
    "status": RunColumn(Column("STATUS", keep=True), lambda run: run.info.shown_status),
    "started": RunColumn(
        Column("STARTED", keep=True, short=short_time), lambda run: time_text(run.info.start_time, seconds=True)
    ),
    "ended": RunColumn(
        Column("ENDED", keep=True, short=short_time), lambda run: time_text(run.info.end_time, seconds=True)
    ),
    "duration": RunColumn(Column("DURATION", right=True, keep=True), duration_text),
    "user": RunColumn(Column("USER"), lambda run: run.info.user_id or "-"),
    "experiment": RunColumn(
        Column("EXPERIMENT", right=True, keep=True, short_title="EXP"), lambda run: run.info.experiment_id
    ),
    "stage": RunColumn(Column("STAGE", keep=True), lambda run: run.info.lifecycle_stage),
    "metrics": RunColumn(Column("METRICS"), lambda run: pairs_text(run.data.metrics), "metrics"),
    "params": RunColumn(Column("PARAMS"), lambda run: pairs_text(run.data.params), "params"),
    "tags": RunColumn(Column("TAGS"), lambda run: pairs_text(own_tags(run)), "tags"),
}


def parse_columns(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[RunColumn] | None:
    """Columns by their names, which are separated by commas; None without any."""
    return [_column(name.strip(), ctx, param) for value in values for name in value.split(",")] or None


def usual_columns(*, everywhere: bool) -> list[RunColumn]:
    """Columns that are shown unless others are asked for; ``everywhere`` says that runs are of several experiments."""
    experiment = ["experiment"] if everywhere else []
    return [_ATTRIBUTES[name] for name in ("id", *experiment, "status", "started", "name", "metrics")]


def fields_of(columns: Sequence[RunColumn]) -> list[str]:
    """What runs need to hold for these columns."""
    return list(dict.fromkeys(column.field for column in columns if column.field)) or ["attributes"]


def _column(name: str, ctx: click.Context, param: click.Parameter) -> RunColumn:
    if name in _ATTRIBUTES:
        return _ATTRIBUTES[name]
    kind, _, key = name.partition(".")
    if key and kind == "metrics":
        return RunColumn(Column(key, right=True), lambda run: _number(run.data.metrics.get(key)), name)
    if key and kind == "params":
        return RunColumn(Column(key), lambda run: run.data.params.get(key, "-"), name)
    if key and kind == "tags":
        return RunColumn(Column(key), lambda run: run.data.tags.get(key, "-"), name)
    known = ", ".join(_ATTRIBUTES)
    raise click.BadParameter(f"{name!r} is none of {known}, metrics.KEY, params.KEY and tags.KEY.", ctx, param)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
