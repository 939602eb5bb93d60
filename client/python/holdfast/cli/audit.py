"""``holdfast audit``: who changed what, and whether the log of it is as it was sealed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from holdfast._times import now_ms
from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.lengths_of_time import length_of_time
from holdfast.cli.options import json_option, limit_options
from holdfast.cli.paging import Limited, through_pages
from holdfast.cli.sizes import count_text
from holdfast.cli.tables import Column, print_table, printable
from holdfast.cli.times import short_time, time_text
from holdfast.entities import AuditCheck, AuditRecord
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast._client import Client

PACKAGE = "holdfast.v1."
COULD_NOT_VERIFY = 2


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Milliseconds since 1970 of a length of time before now, or of a date with or without a time, in UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        ago = length_of_time(ctx, param, value)
        assert ago is not None
        return now_ms() - round(ago.total_seconds() * 1000)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000)


@click.group("audit")
def command() -> None:
    """Tell who changed what, and verify the log of it. This needs the role admin; `docs/audit.md` has more."""


@command.command("ls")
@click.option("--principal", metavar="NAME", help="Only changes by this one.")
@click.option("--resource", metavar="KIND/ID", help="Only changes of this, such as run/ID, experiment/3 or token/ID.")
@click.option("--method", metavar="METHOD", help="Only this call, such as RunService/DeleteRun.")
@click.option(
    "--since", metavar="TIME", callback=_moment, help="Only from then on: 24h ago, or a date and time in UTC."
)
@click.option("--until", metavar="TIME", callback=_moment, help="Only before then.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest; otherwise with the newest.")
@limit_options(100)
@json_option("One JSON object for each record.")
@click.pass_context
def ls(
    ctx: click.Context,
    *,
    principal: str | None,
    resource: str | None,
    method: str | None,
    since: int | None,
    until: int | None,
    oldest_first: bool,
    max_results: int,
    unlimited: bool,
    as_json: bool,
) -> None:
    """List who changed what, the newest first."""
    name = f"{PACKAGE}{method}" if method and not method.startswith(PACKAGE) else method
    with client_of(ctx) as client:

        def records() -> Iterator[AuditRecord]:
            return through_pages(
                lambda token: client.list_audit_records(
                    principal=principal,
                    resource=resource,
                    method=name,
                    since=since,
                    until=until,
                    newest_first=not oldest_first,
                    max_results=1_000 if unlimited else min(max_results + 1, 1_000),
                    page_token=token,
                )
            )

        found = Limited(records(), None if unlimited else max_results)
        if as_json:
            for record in found:
                click.echo(json_text(_as_dictionary(record)))
        else:
            columns = [
                Column("NUMBER", right=True, keep=True),
                Column("TIME", keep=True, short=short_time),
                Column("PRINCIPAL"),
                Column("CALL"),
                Column("COUNT", right=True),
                Column("RESOURCES"),
                Column("DETAILS"),
            ]
            print_table(columns, map(_row, found))
        found.tell()


@command.command("verify")
@click.option(
    "--expect",
    metavar="HEAD",
    help="A head that this command printed before, and that was kept elsewhere: the log must go on from it.",
)
@json_option("One JSON object.")
@click.pass_context
def verify(ctx: click.Context, *, expect: str | None, as_json: bool) -> None:
    """Compute the hashes of the log here, and tell what does not fit; print the head, to keep it elsewhere.

    Records that were changed, removed, put in or moved are found without --expect; that the end was cut off, or that
    all was written anew, with it. Exits with 0 when nothing is wrong, 1 when there are problems, and 2 when the log
    could not be verified.
    """
    try:
        with client_of(ctx) as client:
            check = client.verify_audit_log(expect=expect)
    except (HoldfastError, click.ClickException) as error:
        click.echo(f"Error: {printable(' '.join(error.message.split()))}", err=True)
        ctx.exit(COULD_NOT_VERIFY)
    if as_json:
        click.echo(json_text(dataclasses.asdict(check)))
    else:
        click.echo("\n".join(_lines(check)))
    ctx.exit(1 if check.problems else 0)


@command.command("export")
@click.pass_context
def export(ctx: click.Context) -> None:
    """Print the whole log as JSON lines: each segment behind its records, those that are not sealed at the end.

    A line is {"record": …} or {"segment": …}; with `docs/audit.md` any program can verify them.
    """
    with client_of(ctx) as client:
        for line in _exported(client):
            click.echo(line)


def _exported(client: Client) -> Iterator[str]:
    segments = iter(client.list_audit_segments())
    segment = next(segments, None)
    for record in through_pages(lambda token: client.list_audit_records(max_results=1_000, page_token=token)):
        while segment is not None and segment.last_number < record.number:
            yield json_text({"segment": dataclasses.asdict(segment)})
            segment = next(segments, None)
        yield json_text({"record": dataclasses.asdict(record)})
    while segment is not None:
        yield json_text({"segment": dataclasses.asdict(segment)})
        segment = next(segments, None)


def _as_dictionary(record: AuditRecord) -> dict[str, object]:
    """A record with its details as the object that they are."""
    return {**dataclasses.asdict(record), "details": json.loads(record.details)}


def _row(record: AuditRecord) -> list[str]:
    return [
        str(record.number),
        time_text(record.time, seconds=True),
        record.principal,
        record.method.removeprefix(PACKAGE),
        str(record.count),
        " ".join(record.resources) or "-",
        record.details if record.details != "{}" else "-",
    ]


def _lines(check: AuditCheck) -> Iterator[str]:
    yield from check.problems
    waiting = f"{count_text(check.unsealed, 'record waits', 'records wait')} to be sealed"
    if check.head is None:
        yield f"Nothing is sealed yet; {waiting}."
        return
    sealed = f"{count_text(check.records, 'record')} in {count_text(check.segments, 'segment')}"
    if not check.problems:
        yield f"{sealed} are as they were sealed; {waiting}."
    else:
        yield f"{sealed} are not as they were sealed: {count_text(len(check.problems), 'problem')}; {waiting}."
    yield f"head  {check.head}"
