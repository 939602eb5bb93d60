"""``holdfast models``: one module for each kind of verb."""

from __future__ import annotations

import click

from holdfast.cli.lazy import LazyGroup

_PLACE = "holdfast.cli.models"

_COMMANDS = {
    "alias": (f"{_PLACE}.changing:alias", "Set, show or remove an alias."),
    "copy": (f"{_PLACE}.registering:copy", "Register the files of a version under another name."),
    "create": (f"{_PLACE}.registering:create", "Create a registered model without versions."),
    "delete-tag": (f"{_PLACE}.registering:delete_tag", "Remove tags of a registered model or version."),
    "describe": (f"{_PLACE}.registering:describe", "Describe a registered model or version."),
    "export": (f"{_PLACE}.archives:export", "Write a version to one file."),
    "history": (f"{_PLACE}.listing:history", "Show who changed what, and when."),
    "import": (f"{_PLACE}.archives:import_version", "Register the version that is in a file."),
    "inspect": (f"{_PLACE}.inspecting:inspect", "Show what a model would import, without loading it."),
    "list": (f"{_PLACE}.listing:list_models", "List registered models."),
    "promote": (f"{_PLACE}.changing:promote", "Move aliases to a version and change it, all at once."),
    "register": (f"{_PLACE}.registering:register", "Register what a run or a logged model holds."),
    "rename": (f"{_PLACE}.registering:rename", "Give a registered model another name."),
    "rm": (f"{_PLACE}.changing:rm", "Delete a registered model, or versions of it, for good."),
    "set": (f"{_PLACE}.changing:set_model", "Say whether pickles of a registered model may be loaded."),
    "serve": (f"{_PLACE}.serving:serve", "Answer predictions over HTTP and gRPC."),
    "set-tag": (f"{_PLACE}.registering:set_tag", "Set tags of a registered model or version."),
    "show": (f"{_PLACE}.listing:show", "Show a registered model, or one version."),
    "tail": (f"{_PLACE}.tailing:tail", "Print what a registered model, its versions and aliases become."),
    "versions": (f"{_PLACE}.versions:versions", "List versions, also of all registered models."),
}


@click.group(
    "models",
    cls=LazyGroup,
    lazy=_COMMANDS,
    epilog="Exit codes: 0 done, 1 failed, 2 wrongly called, 3 an alias names something else than expected, 4 a model "
    "is suspicious.",
)
def command() -> None:
    """Register, list, show, follow, change, serve, promote, export and import models."""
