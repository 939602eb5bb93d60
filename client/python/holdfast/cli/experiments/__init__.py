"""``holdfast experiments``: one module for each kind of verb."""

from __future__ import annotations

import click

from holdfast.cli.lazy import LazyGroup

_PLACE = "holdfast.cli.experiments"

_COMMANDS = {
    "create": (f"{_PLACE}.changing:create", "Create an experiment and print its id."),
    "delete": (f"{_PLACE}.changing:delete", "Mark experiments and their runs as deleted."),
    "delete-tag": (f"{_PLACE}.changing:delete_tag", "Remove tags of an experiment."),
    "ls": (f"{_PLACE}.listing:ls", "List experiments."),
    "rename": (f"{_PLACE}.changing:rename", "Give an experiment another name."),
    "restore": (f"{_PLACE}.changing:restore", "Undo the deletion of experiments."),
    "set-tag": (f"{_PLACE}.changing:set_tag", "Set tags of an experiment."),
    "show": (f"{_PLACE}.listing:show", "Show an experiment."),
    "tail": (f"{_PLACE}.tailing:tail", "Print what an experiment's runs and logged models log and become."),
}


@click.group(
    "experiments",
    cls=LazyGroup,
    lazy=_COMMANDS,
    epilog="EXPERIMENT is an id or a name; where these are confused, write id:5 or name:5.",
)
def command() -> None:
    """Create, list, show, follow, rename, tag, delete and restore experiments."""
