"""Options that several commands have."""

from __future__ import annotations

from functools import partial

import click

symlinks_option = partial(
    click.option, "--symlinks", type=click.Choice(["inside", "follow"]), default="inside", show_default=True
)
