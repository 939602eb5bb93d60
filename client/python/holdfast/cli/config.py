"""``holdfast config``: what is set, and by what."""

from __future__ import annotations

import dataclasses
import os

import click

from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option
from holdfast.cli.server.launching import hand_over
from holdfast.cli.tables import Column, print_table


@click.group("config")
def command() -> None:
    """Show settings, each with its value and whether that is from an option, a variable or the default."""


@command.command("show")
@click.option(
    "--server", "of_server", is_flag=True, help="Those of a server started here, as `holdfast server config`."
)
@json_option("One JSON object for each setting.")
@click.pass_context
def show(ctx: click.Context, *, of_server: bool, as_json: bool) -> None:
    """Show the settings of clients here. Tokens and passwords are masked.

    It fails, after it has shown all, when one breaks its rule.
    """
    from holdfast._variables import DEFAULT, check_all, shown

    if of_server:
        hand_over(["config", *(["--json"] if as_json else [])])
    uri = ctx.find_root().obj
    rows = shown(os.environ, uri)
    if as_json:
        for row in rows:
            click.echo(json_text(dataclasses.asdict(row)))
    else:
        columns = [Column("VARIABLE", keep=True), Column("VALUE"), Column("FROM", keep=True)]
        origins = {row.name: "variable" for row in rows} | {"--uri": "--uri", DEFAULT: DEFAULT}
        print_table(columns, [(row.name, row.value or "-", origins[row.origin]) for row in rows])
    check_all(os.environ, uri)
