"""``holdfast runs tail``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from holdfast._own_tags import is_own_field, without_own
from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.tables import printable
from holdfast.cli.times import time_text
from holdfast.entities import Event, Run, RunStatus

if TYPE_CHECKING:
    from holdfast._watching import Watch

_WORDS = {
    "DELETED": "deleted",
    "RESTORED": "restored",
    "PURGED": "gone for good",
    "LOST": "lost: its client gives no sign of life",
    "RETURNED": "its client is back",
}
# What of a run itself can change.
_ATTRIBUTES = {"status", "name", "end_time"}


@click.command("tail")
@click.argument("run_id", metavar="RUN_ID")
@click.option(
    "--cursor", help="Go on behind this cursor, which --json prints, instead of telling first how the run is."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each event, the first for the run as it is.")
@click.pass_context
def tail(ctx: click.Context, run_id: str, *, cursor: str | None, as_json: bool) -> None:
    """Print what the run RUN_ID has logged, and what it logs and becomes, until it has ended.

    It goes on where it was when the server is restarted.
    """
    with client_of(ctx) as client:
        run_id = find_run_id(client, run_id)
        # Behind the cursor there may be no end of the run to come.
        was_over = cursor is not None and _is_over(client.get_run(run_id))
        with client.watch_run(run_id, cursor) as watch:
            _print_events(watch, was_over=was_over, as_json=as_json)


def _print_events(watch: Watch, *, was_over: bool, as_json: bool) -> None:
    """Print events until the run ends; of one that is over, those that are there."""
    while True:
        event = watch.wait()
        if event is None:
            if was_over:
                return
            continue
        if as_json:
            click.echo(json_text(event.to_dictionary()))
        else:
            for line in _lines(event):
                click.echo(line)
        if _ends(event):
            return


def _is_over(run: Run) -> bool:
    return RunStatus.is_terminated(run.info.status) or run.info.lifecycle_stage == "deleted"


def _ends(event: Event) -> bool:
    """Whether nothing is to be expected any more: the run ended or is deleted, or its experiment is."""
    if isinstance(event.state, Run):
        return _is_over(event.state)
    if event.type in {"DELETED", "PURGED"}:
        return True
    status = next((change.new_value for change in event.changes if change.field == "status"), None)
    return status is not None and RunStatus.is_terminated(status)


def _lines(event: Event) -> Iterator[str]:
    if isinstance(event.state, Run):
        yield from _state_lines(event.state)
        return
    at = event.timestamp
    if event.type in _WORDS:
        what = "run" if event.subject == "RUN" else "experiment"
        yield _line(at, what, _WORDS[event.type])
    for change in event.changes:
        if event.type == "UPDATED" and change.field != "end_time" and not is_own_field(change.field):
            yield _change_line(at, change.field, change.new_value)
        elif event.type == "ARTIFACTS":
            yield _line(at, "artifacts", f"snapshot {change.new_value}")
    for metric in event.metrics:
        points = f", {metric.point_count} points" if metric.point_count > 1 else ""
        yield _line(at, "metric", f"{metric.key} = {metric.value:g} (step {metric.step}{points})")
    if event.truncated:
        yield _line(at, "more", "not all is told here; read the run to see it")


def _state_lines(run: Run) -> Iterator[str]:
    at = run.info.start_time
    yield _line(at, "status", run.info.shown_status)
    yield _line(at, "name", run.info.run_name)
    for key, value in run.data.params.items():
        yield _line(at, "param", f"{key} = {value}")
    for key, value in without_own(run.data.tags).items():
        if not key.startswith("mlflow."):
            yield _line(at, "tag", f"{key} = {value}")
    for key, number in run.data.metrics.items():
        yield _line(at, "metric", f"{key} = {number:g}")


def _change_line(at: int | None, field: str, value: str | None) -> str:
    if field in _ATTRIBUTES:
        return _line(at, field, str(value))
    kind, _, key = field.partition(".")
    if kind in {"tags", "params"}:
        return _line(at, kind.removesuffix("s"), f"{key} = {value}" if value is not None else f"{key} removed")
    return _line(at, kind.removesuffix("s"), str(value))


def _line(at: int | None, what: str, text: str) -> str:
    return f"{time_text(at or 0, seconds=True)}  {what:<9}  {printable(text)}"
