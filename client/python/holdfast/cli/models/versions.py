"""``holdfast models versions``."""

from __future__ import annotations

import dataclasses

import click

from holdfast._own_tags import without_own
from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.models.naming import parse_reference
from holdfast.cli.options import json_option, limit_options
from holdfast.cli.paging import Limited, through_pages
from holdfast.cli.tables import Column, print_table
from holdfast.cli.times import short_time, time_text
from holdfast.entities import ModelVersion

_PAGE = 1_000
_COLUMNS = [
    Column("NAME", keep=True),
    Column("VERSION", right=True, keep=True),
    Column("ALIASES"),
    Column("REGISTERED", keep=True, short=short_time),
    Column("BY"),
    Column("TAGS"),
    Column("SOURCE"),
]


@click.command("versions")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--filter", "filter_string", default="", help="Such as \"tags.checked = 'yes' AND run_id = '…'\".")
@click.option("--order-by", multiple=True, help='Such as "version_number DESC"; newest first without it.')
@limit_options(100)
@json_option("One JSON object for each version.")
@click.pass_context
def versions(
    ctx: click.Context,
    name: str | None,
    *,
    filter_string: str,
    order_by: tuple[str, ...],
    max_results: int,
    unlimited: bool,
    as_json: bool,
) -> None:
    """List versions of the registered model NAME, or of all registered models."""
    limit = None if unlimited else max_results
    # One more than is shown tells that there is more.
    size = _PAGE if limit is None else min(_PAGE, limit + 1)
    with client_of(ctx) as client:
        if name is not None:
            reference = parse_reference(name)
            if reference.is_version:
                raise click.UsageError(f"{name!r} names one version; `holdfast models show` shows it.")
            client.get_registered_model(reference.name)  # a wrong name is an error, not an empty list
            filter_string = " AND ".join(filter(None, [_named(reference.name), filter_string]))
        found = Limited(
            through_pages(lambda token: client.search_model_versions(filter_string, size, order_by, token)), limit
        )
        if as_json:
            for version in found:
                click.echo(json_text(dataclasses.asdict(version)))
        else:
            print_table(_COLUMNS, map(_row, found))
    found.tell()


def _named(name: str) -> str:
    # A quote in a name is written twice in a filter.
    return "name = '" + name.replace("'", "''") + "'"


def _row(version: ModelVersion) -> tuple[str, ...]:
    return (
        version.name,
        version.version,
        ", ".join(version.aliases),
        time_text(version.creation_timestamp),
        version.user_id or "-",
        " ".join(f"{key}={value}" for key, value in without_own(version.tags).items()),
        version.source,
    )
