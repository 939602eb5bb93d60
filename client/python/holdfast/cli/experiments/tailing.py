"""``holdfast experiments tail``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from holdfast._own_tags import without_own
from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.following import cursor_option, event_line, event_lines, print_events, short_id, types_option
from holdfast.cli.options import json_option
from holdfast.entities import Event, Experiment


@click.command("tail")
@click.argument("experiment", metavar="EXPERIMENT")
@cursor_option("experiment")
@types_option()
@json_option("One JSON object for each event, the first for the experiment as it is.")
@click.pass_context
def tail(ctx: click.Context, experiment: str, *, cursor: str | None, types: tuple[str, ...], as_json: bool) -> None:
    """Print what EXPERIMENT, an id or a name, its runs and logged models become and log, until it is deleted.

    What its runs logged before is not told. It goes on where it was when the server is restarted.
    """
    with client_of(ctx) as client:
        found = find_experiment(client, experiment)
        # Behind the cursor there may be no deletion to come.
        was_over = cursor is not None and found.lifecycle_stage == "deleted"
        with client.watch_experiment(found.experiment_id, cursor, types=types) as watch:
            print_events(watch, _lines, _ends, was_over=was_over, as_json=as_json)


def _ends(event: Event) -> bool:
    if isinstance(event.state, Experiment):
        return event.state.lifecycle_stage == "deleted"
    return (event.subject, event.type) == ("EXPERIMENT", "DELETED")


def _lines(event: Event) -> Iterator[str]:
    if not isinstance(event.state, Experiment):
        yield from event_lines(event, _who(event))
        return
    yield event_line(None, "name", event.state.name, "experiment")
    yield event_line(None, "stage", event.state.lifecycle_stage, "experiment")
    for key, value in without_own(event.state.tags).items():
        yield event_line(None, "tag", f"{key} = {value}", "experiment")


def _who(event: Event) -> str:
    if event.run_id:
        return f"run {short_id(event.run_id)}"
    return f"model {short_id(event.model_id)}" if event.model_id else "experiment"
