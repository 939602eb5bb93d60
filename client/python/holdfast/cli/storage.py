"""``holdfast gc``, ``holdfast fsck`` and ``holdfast du``."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import timedelta

import click

from holdfast.cli import client_of
from holdfast.cli.lengths_of_time import length_of_time
from holdfast.cli.sizes import count_text, size_text
from holdfast.cli.tables import printable
from holdfast.entities import CollectedGarbage, StorageCheck, StorageFinding, StorageUsage
from holdfast.errors import HoldfastError

COULD_NOT_CHECK = 2


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Delete nothing; print what would be deleted now.")
@click.option(
    "--grace",
    callback=length_of_time,
    metavar="TIME",
    default="24h",
    show_default=True,
    help="Keep what was needed in this time.",
)
@click.option(
    "--purge-deleted",
    callback=length_of_time,
    metavar="TIME",
    help="Delete runs and models for good that were deleted longer ago, such as 30d; without it all stay restorable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def gc(ctx: click.Context, *, dry_run: bool, grace: timedelta, purge_deleted: timedelta | None, as_json: bool) -> None:
    """Free the space of what nothing needs, while the server is in use."""
    with client_of(ctx) as client:
        collected = client.collect_garbage(
            dry_run=dry_run, grace=grace, purge_deleted=purge_deleted, on_progress=_show_phase
        )
    _clear_line()
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **dataclasses.asdict(collected)}))
    else:
        click.echo("\n".join(_collected_lines(collected, dry_run=dry_run)))
    if collected.failures:
        ctx.exit(1)


@click.command("fsck")
@click.option("--deep", is_flag=True, help="Read every block and compare its bytes with its digest.")
@click.option(
    "--repair",
    is_flag=True,
    help="Remove orphaned objects, and have lost blocks stored anew when the same content is logged again.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each finding, and one for the summary.")
@click.pass_context
def fsck(ctx: click.Context, *, deep: bool, repair: bool, as_json: bool) -> None:
    """Compare what the database knows with what the store has.

    Exits with 0 when nothing is wrong, 1 when there are problems, and 2 when the check could not be done.
    """

    def show(finding: StorageFinding) -> None:
        _clear_line()
        click.echo(json.dumps(dataclasses.asdict(finding)) if as_json else "\n".join(_finding_lines(finding)))

    try:
        with client_of(ctx) as client:
            check = client.check_storage(deep=deep, repair=repair, on_finding=show, on_progress=_show_check)
    except (HoldfastError, click.ClickException) as error:
        _clear_line()
        click.echo(f"Error: {error.message}", err=True)
        ctx.exit(COULD_NOT_CHECK)
    _clear_line()
    if as_json:
        summary = dataclasses.asdict(check)
        del summary["findings"]
        click.echo(json.dumps({"summary": summary}))
    else:
        read = f", {size_text(check.read_bytes)} read" if deep else ""
        repaired = f", {check.repaired} findings repaired" if check.repaired else ""
        click.echo(
            f"{count_text(check.objects, 'object')}, "
            f"{count_text(check.blocks, 'block')} of {size_text(check.block_bytes)}{read}: "
            f"{count_text(check.problems, 'problem')}{repaired}"
        )
    ctx.exit(1 if check.problems else 0)


@click.command("du")
@click.option(
    "--by",
    "group",
    type=click.Choice(["experiments", "runs", "models"]),
    default="experiments",
    show_default=True,
    help="Of what to list the largest.",
)
@click.option(
    "--top", "limit", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many of them to list."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def du(ctx: click.Context, *, group: str, limit: int, as_json: bool) -> None:
    """Tell what takes how much space."""
    with client_of(ctx) as client:
        usage = client.get_storage_usage(group=group, limit=limit)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(usage), "saved_bytes": usage.saved_bytes}))
    else:
        click.echo("\n".join(_usage_lines(usage, group)))


def _collected_lines(collected: CollectedGarbage, *, dry_run: bool) -> list[str]:
    verb = "Would delete" if dry_run else "Deleted"
    lines = [f"{verb} {count_text(collected.blocks, 'block')} of {size_text(collected.block_bytes)}."]
    if collected.purged_runs or collected.purged_models:
        lines.append(
            f"{verb} {count_text(collected.purged_runs, 'run')} "
            f"and {count_text(collected.purged_models, 'model')} for good."
        )
    if collected.pruned_entries or collected.files:
        lines.append(
            f"{verb} {count_text(collected.pruned_entries, 'old version')} of files, "
            f"and {count_text(collected.files, 'content')} that no file has."
        )
    if collected.compacted_packs:
        lines.append(
            f"Rewrote {count_text(collected.compacted_packs, 'pack')}, "
            f"{size_text(collected.moved_bytes)} of them in use."
        )
    if collected.objects or collected.orphans:
        lines.append(
            f"Removed {count_text(collected.objects, 'object')} of {size_text(collected.object_bytes)} from the store"
            + (f", {collected.orphans} of them left by servers that died." if collected.orphans else ".")
        )
    if collected.failures:
        lines.append(f"{count_text(collected.failures, 'object')} failed; the server's log says why. Run gc again.")
    return lines


def _finding_lines(finding: StorageFinding) -> list[str]:
    level = "error" if finding.is_problem else "info"
    repaired = " (repaired)" if finding.repaired else ""
    lines = [f"{level}: {finding.message}{repaired}", *(f"  affects {uri}" for uri in finding.affected)]
    return [printable(line) for line in lines]


def _usage_lines(usage: StorageUsage, group: str) -> list[str]:
    lines = [
        f"{size_text(usage.logical_bytes):>12}  in {count_text(usage.file_count, 'file')} of all runs and models",
        f"{size_text(usage.stored_bytes):>12}  stored in {count_text(usage.object_count, 'object')}",
        f"{size_text(usage.saved_bytes):>12}  saved by storing equal blocks once",
        f"{size_text(usage.reclaimable_bytes):>12}  that gc would free now",
        f"{size_text(usage.in_grace_bytes):>12}  that gc will free after its grace",
    ]
    if usage.largest:
        lines += ["", f"Largest {group}:"]
        lines += [
            f"{size_text(one.total_size):>12}  {one.id}  {printable(one.name)}  ({count_text(one.file_count, 'file')})"
            for one in usage.largest
        ]
    return lines


def _show_phase(collected: CollectedGarbage) -> None:
    _show(f"{collected.phase.lower()}: {collected.blocks} blocks, {size_text(collected.block_bytes)}")


def _show_check(check: StorageCheck) -> None:
    _show(f"{check.objects} objects, {size_text(check.read_bytes)} read, {count_text(check.problems, 'problem')}")


def _show(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _clear_line() -> None:
    _show("")
