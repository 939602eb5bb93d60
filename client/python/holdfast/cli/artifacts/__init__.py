"""``holdfast artifacts``: one module for each kind of verb."""

from __future__ import annotations

import click

from holdfast.cli.lazy import LazyGroup

_PLACE = "holdfast.cli.artifacts"

_COMMANDS = {
    "cat": (f"{_PLACE}.fetching:cat", "Print files."),
    "get": (f"{_PLACE}.fetching:get", "Fetch a file or directory."),
    "ls": (f"{_PLACE}.listing:ls", "List a directory."),
    "put": (f"{_PLACE}.storing:put", "Store files and directories in a run."),
    "rm": (f"{_PLACE}.removing:rm", "Remove files and directories from a run."),
    "tail": ("holdfast.cli.tail:tail", "Print the end of a file, also while it is being written."),
    "tree": (f"{_PLACE}.listing:tree", "Show a directory and all below it."),
    "verify": (f"{_PLACE}.verifying:verify", "Check what is stored, or a local copy of it."),
}


@click.group(
    "artifacts",
    cls=LazyGroup,
    lazy=_COMMANDS,
    epilog=(
        "A URI is runs:/<run_id>/<path>, models:/<model_id>/<path>, models:/<name>/<version>/<path>, "
        "models:/<name>@<alias>/<path> or models:/<name>/latest/<path>; the path may be absent."
    ),
)
def command() -> None:
    """List, fetch, store, check and remove artifacts."""
