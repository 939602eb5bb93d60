"""``holdfast runs``: one module for each kind of verb."""

from __future__ import annotations

import click

from holdfast.cli.lazy import LazyGroup

_PLACE = "holdfast.cli.runs"

_COMMANDS = {
    "compare": (f"{_PLACE}.comparing:compare", "Show params and metrics of runs side by side."),
    "create": (f"{_PLACE}.changing:create", "Begin a run and print its id."),
    "delete": (f"{_PLACE}.changing:delete", "Mark runs as deleted."),
    "delete-tag": (f"{_PLACE}.changing:delete_tag", "Remove tags of a run."),
    "end": (f"{_PLACE}.changing:end", "End a run."),
    "export": (f"{_PLACE}.archives:export", "Write a run to one file."),
    "import": (f"{_PLACE}.archives:import_run", "Make the run that is in a file."),
    "log": (f"{_PLACE}.changing:log", "Log metrics and params of a run."),
    "log-input": (f"{_PLACE}.linking:log_input", "Link a dataset or logged models that a run read."),
    "log-output": (f"{_PLACE}.linking:log_output", "Link logged models that a run made."),
    "ls": (f"{_PLACE}.listing:ls", "List runs."),
    "metrics": (f"{_PLACE}.metrics:metrics", "Print metrics of a run as CSV or JSON, whole or for a chart."),
    "rename": (f"{_PLACE}.changing:rename", "Give a run another name."),
    "restore": (f"{_PLACE}.changing:restore", "Undo the deletion of runs."),
    "set-tag": (f"{_PLACE}.changing:set_tag", "Set tags of a run."),
    "show": (f"{_PLACE}.showing:show", "Show all of a run, with a small chart of each metric."),
    "tail": (f"{_PLACE}.tailing:tail", "Print what a run logs, until it has ended."),
}


@click.group(
    "runs",
    cls=LazyGroup,
    lazy=_COMMANDS,
    epilog="RUN_ID is 32 hex digits, the first few of them if no other run has the same, or runs:/<run_id>.",
)
def command() -> None:
    """List, show, compare, log, follow, delete and move runs."""
