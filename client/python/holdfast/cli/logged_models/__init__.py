"""``holdfast logged-models``: one module for each kind of verb."""

from __future__ import annotations

import click

from holdfast.cli.lazy import LazyGroup

_PLACE = "holdfast.cli.logged_models"

_COMMANDS = {
    "delete": (f"{_PLACE}.changing:delete", "Mark logged models as deleted."),
    "delete-tag": (f"{_PLACE}.changing:delete_tag", "Remove tags of a logged model."),
    "ls": (f"{_PLACE}.listing:ls", "List logged models."),
    "restore": (f"{_PLACE}.changing:restore", "Undo the deletion of logged models."),
    "set-tag": (f"{_PLACE}.changing:set_tag", "Set tags of a logged model."),
    "show": (f"{_PLACE}.listing:show", "Show all of a logged model."),
}


@click.group(
    "logged-models",
    cls=LazyGroup,
    lazy=_COMMANDS,
    epilog="MODEL_ID is m- and 32 hex digits, the first few of them if no other logged model has the same, or "
    "models:/<model_id>. `holdfast models` has the registered ones.",
)
def command() -> None:
    """List, show, tag, delete and restore the models that runs logged."""
