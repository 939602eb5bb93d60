"""``holdfast sync``."""

from __future__ import annotations

import dataclasses
import json
import os

import click

from holdfast.cli.sizes import size_text
from holdfast.cli.times import time_text
from holdfast.entities import SyncedJournal, SyncedStore


@click.command("sync")
@click.option(
    "--from", "source", metavar="STORE", help="Send what the data directory STORE holds, or its server's URI."
)
@click.option(
    "--experiment", "experiments", metavar="NAME", multiple=True, help="With --from: only this one; repeatable."
)
@click.option("--deleted", is_flag=True, help="With --from: what is deleted there too, which is then deleted here.")
@click.option("--versions", is_flag=True, help="With --from: register its model versions too, under the next numbers.")
@click.option("--dry-run", is_flag=True, help="Send nothing; print what waits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each journal, or one for the store.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    source: str | None,
    experiments: tuple[str, ...],
    deleted: bool,
    versions: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send what processes logged and could not send before they ended, to the servers that it is for.

    It may run at any time, also twice at once: each point arrives once. Journals of processes that live are left to
    them. With --uri only what is for that server is sent. Exits with 1 when something could not be.

    With --from, send what an embedded store holds to the server of --uri or HOLDFAST_URI: runs with all that they
    logged, and logged models. Repeated, it sends what was added since.
    """
    if source is None:
        if experiments or deleted or versions:
            raise click.UsageError("--experiment, --deleted and --versions go with --from.")
        _send_journals(ctx, dry_run=dry_run, as_json=as_json)
        return
    from holdfast._client import Client
    from holdfast._config import URI_VARIABLE

    uri = ctx.find_root().obj
    if not uri and not os.environ.get(URI_VARIABLE):
        raise click.UsageError(
            "Name the server to send to: holdfast --uri holdfast://host:5600 sync --from …, or HOLDFAST_URI."
        )
    with Client(uri) as client:
        synced = client.sync_from(
            source,
            experiments=experiments or None,
            include_deleted=deleted,
            include_versions=versions,
            dry_run=dry_run,
        )
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(synced), "is_complete": synced.is_complete}))
    else:
        tell(synced)
    if not synced.is_complete:
        ctx.exit(1)


def _send_journals(ctx: click.Context, *, dry_run: bool, as_json: bool) -> None:
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


def tell(synced: SyncedStore) -> None:
    """Print what was sent and what was not."""
    for journal in synced.journals:
        if journal.sent or journal.waiting or journal.refused or journal.error:
            click.echo(_line(journal))
    size = f" ({size_text(synced.bytes)} that the server lacked)" if synced.files else ""
    sent = _listed(
        (synced.runs, "run"),
        (synced.points, "point"),
        (synced.models, "logged model"),
        (synced.files, "file", size),
        (synced.versions, "version"),
        (synced.experiments, "new experiment"),
    )
    verb = "would send" if synced.is_dry_run else "sent"
    click.echo(f"{synced.source} -> {synced.uri}: " + (f"{verb} {sent}" if sent else "nothing to send"))
    if synced.partial:
        click.echo(f"{verb}, as others name them, without points or files: {synced.partial:,} runs or deleted models")
    if synced.unchanged_runs:
        click.echo(f"unchanged: {_counted(synced.unchanged_runs, 'run')}")
    _tell_left(synced)
    for problem in synced.problems:
        click.echo(f"{problem.subject} {problem.id}: {problem.error}", err=True)


def _tell_left(synced: SyncedStore) -> None:
    deleted = _listed(
        (synced.left_deleted_runs, "run"),
        (synced.left_deleted_models, "logged model"),
    )
    if deleted:
        click.echo(f"not sent, deleted at the source: {deleted} (--deleted sends them too)")
    if synced.left_deleted_experiments:
        click.echo(f"not sent, deleted at the source: {_counted(synced.left_deleted_experiments, 'experiment')}")
    if synced.deleted_at_target:
        click.echo(f"not sent, deleted at the server: {synced.deleted_at_target:,} runs or models; restore them there")
    if synced.left_open_files:
        click.echo(
            f"not sent: {_counted(synced.left_open_files, 'file')} still open at the source; closed, they are sent"
        )
    if synced.left_versions:
        click.echo(f"not sent: {_counted(synced.left_versions, 'registered version')} (--versions registers them here)")


def _listed(*counts: tuple[int, str] | tuple[int, str, str]) -> str:
    return ", ".join(_counted(count, what, *more) for count, what, *more in counts if count)


def _counted(count: int, what: str, more: str = "") -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}{more}"
