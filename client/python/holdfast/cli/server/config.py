"""``holdfast server config``: the server tells it itself, as it alone knows its settings."""

from __future__ import annotations

import click

from holdfast.cli.options import json_option
from holdfast.cli.server.launching import hand_over


@click.command("config", context_settings={"ignore_unknown_options": True})
@json_option("One JSON object for each setting.")
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
def command(settings: tuple[str, ...], *, as_json: bool) -> None:
    """Show the settings that `holdfast server` would have if it were started here with SETTINGS.

    Each is shown with its value and whether that comes from an option or a variable, or is the default. Secrets are
    masked.
    """
    hand_over(["config", *(["--json"] if as_json else []), *settings])
