"""``holdfast sync``."""

from __future__ import annotations

import dataclasses
import json

import click

from holdfast.cli.times import time_text
from holdfast.entities import SyncedJournal


@click.command("sync")
@click.option("--dry-run", is_flag=True, help="Send nothing; print what waits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each journal.")
@click.pass_context
def command(ctx: click.Context, *, dry_run: bool, as_json: bool) -> None:
    """Send what processes logged and could not send before they ended, to the servers that it is for.

    It may run at any time, also twice at once: each point arrives once. Journals of processes that live are left to
    them. With --uri only what is for that server is sent. Exits with 1 when something could not be.
    """
    from holdfast._config import parse_target
    from holdfast._journal.syncing import sync

    uri = ctx.find_root().obj
    only = parse_target(uri).uri if uri else ""
    journals = sync(dry_run=dry_run, wanted=lambda owner: only in ("", owner.uri))
    for journal in journals:
        click.echo(json.dumps(dataclasses.asdict(journal)) if as_json else _line(journal))
    if not journals and not as_json:
        click.echo("Nothing waits.")
    if any(journal.error or (journal.waiting and not dry_run) for journal in journals):
        ctx.exit(1)


def _line(journal: SyncedJournal) -> str:
    counts = {"sent": journal.sent, "waiting": journal.waiting, "refused": journal.refused}
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing to send"
    who = (
        f"{journal.program or 'python'} (pid {journal.pid} on {journal.host}, {time_text(journal.since, seconds=True)})"
    )
    error = f": {' '.join(journal.error.split())}" if journal.error else ""
    return f"{journal.uri}  {told}  {who}{error}"
