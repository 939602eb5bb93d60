"""``holdfast runs tail``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from holdfast._own_tags import without_own
from holdfast.cli import client_of
from holdfast.cli.following import cursor_option, event_line, event_lines, print_events
from holdfast.cli.runs.naming import find_run_id
from holdfast.entities import Event, Run, RunStatus


@click.command("tail")
@click.argument("run_id", metavar="RUN_ID")
@cursor_option("run")
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
            print_events(watch, _lines, _ends, was_over=was_over, as_json=as_json)


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


def _lines(event: Event) -> Iterable[str]:
    return _state_lines(event.state) if isinstance(event.state, Run) else event_lines(event)


def _state_lines(run: Run) -> Iterator[str]:
    """What a run is, with the times that it has: since when it has its name, params and tags is not known."""
    info = run.info
    yield event_line(info.end_time or (None if info.lost else info.start_time), "status", info.shown_status)
    yield event_line(None, "name", info.run_name)
    for key, value in run.data.params.items():
        yield event_line(None, "param", f"{key} = {value}")
    for key, value in without_own(run.data.tags).items():
        if not key.startswith("mlflow."):
            yield event_line(None, "tag", f"{key} = {value}")
    for point in run.data.metric_points:
        yield event_line(point.timestamp, "metric", f"{point.key} = {point.value:g} (step {point.step})")
