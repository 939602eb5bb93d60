"""``holdfast models promote``, ``alias``, ``set`` and ``rm``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option, key_value_pairs, tags_option
from holdfast.cli.sizes import count_text
from holdfast.errors import ConflictError, NotFoundError

# An alias names something else than expected. Scripts that race decide by it.
CONFLICT = 3
_STAGES = ["None", "Staging", "Production", "Archived"]


@contextlib.contextmanager
def _conflicts(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except ConflictError as error:
        click.echo(f"Error: {error.message}", err=True)
        ctx.exit(CONFLICT)


@click.command("promote")
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="VERSION", type=click.IntRange(min=1))
@click.option("--alias", "aliases", multiple=True, metavar="ALIAS", help="Have this alias name it; several times.")
@click.option("--remove-alias", "removed", multiple=True, metavar="ALIAS", help="Remove this alias; several times.")
@click.option(
    "--expect",
    multiple=True,
    callback=key_value_pairs,
    metavar="ALIAS=VERSION",
    help="Only if the alias names this version now, or none with ALIAS=absent; several times.",
)
@tags_option()
@click.option("--remove-tag", "removed_tags", multiple=True, metavar="KEY", help="Remove a tag; several times.")
@click.option("--description", help="Describe it.")
@click.option(
    "--stage", type=click.Choice(_STAGES, case_sensitive=False), help="Move it to a stage; aliases are the newer way."
)
@click.option("--archive-existing", is_flag=True, help="Archive the other versions of that stage.")
@click.option("--json", "as_json", is_flag=True, help="The version after the change, as one JSON object.")
@click.pass_context
def promote(
    ctx: click.Context,
    name: str,
    version: int,
    *,
    aliases: tuple[str, ...],
    removed: tuple[str, ...],
    expect: dict[str, str],
    tags: dict[str, str],
    removed_tags: tuple[str, ...],
    description: str | None,
    stage: str | None,
    archive_existing: bool,
    as_json: bool,
) -> None:
    """Move aliases to VERSION of the registered model NAME and change it, all at once or not at all.

    Exits with 3 when an alias names something else than --expect says; nothing is changed then.
    """
    with client_of(ctx) as client, _conflicts(ctx):
        promoted = client.promote(
            name,
            version,
            aliases,
            removed_aliases=removed,
            tags=tags,
            deleted_tags=removed_tags,
            description=description,
            stage=stage,
            archive_existing_versions=archive_existing,
            expected=expect,
        )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(promoted)))
    else:
        named = f", named by {', '.join(promoted.aliases)}" if promoted.aliases else ""
        stands = f", in stage {promoted.current_stage}" if promoted.current_stage != "None" else ""
        click.echo(f"{promoted.name} version {promoted.version}{named}{stands}")


@click.command("alias")
@click.argument("name", metavar="NAME")
@click.argument("alias_name", metavar="ALIAS")
@click.argument("version", metavar="VERSION", required=False, type=click.IntRange(min=1))
@click.option("--delete", is_flag=True, help="Remove the alias.")
@click.option("--expect", metavar="VERSION", help="Only if it names this version now, or none with absent.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what the alias names now.")
@click.pass_context
def alias(
    ctx: click.Context,
    name: str,
    alias_name: str,
    version: int | None,
    *,
    delete: bool,
    expect: str | None,
    as_json: bool,
) -> None:
    """Have ALIAS of the registered model NAME name VERSION; without VERSION, tell what it names.

    Exits with 3 when it names something else than --expect says; nothing is changed then.
    """
    if delete and version is not None:
        raise click.UsageError("--delete takes no VERSION.")
    if expect is not None and not delete and version is None:
        raise click.UsageError("--expect goes with a VERSION or with --delete.")
    named: str | None = None
    with client_of(ctx) as client, _conflicts(ctx):
        if delete:
            client.delete_alias(name, alias_name, expected=expect)
        elif version is not None:
            client.set_alias(name, alias_name, version, expected=expect)
            named = str(version)
        else:
            named = client.get_model_version_by_alias(name, alias_name).version
    if as_json:
        click.echo(json.dumps({"name": name, "alias": alias_name, "version": named}))
    else:
        click.echo(f"{name}@{alias_name} names {'nothing' if named is None else f'version {named}'}")


@click.command("set")
@click.argument("name", metavar="NAME")
@click.option(
    "--forbid-pickle/--permit-pickle",
    "pickle_forbidden",
    default=None,
    help="Whether clients refuse to unpickle its versions, whoever logged them.",
)
@json_option("The registered model after the change, as one JSON object.")
@click.pass_context
def set_model(ctx: click.Context, name: str, *, pickle_forbidden: bool | None, as_json: bool) -> None:
    """Say whether pickles of the registered model NAME may be loaded.

    With --forbid-pickle, a version loads by this name only if it was saved with skops and brings no code of its own.
    """
    if pickle_forbidden is None:
        raise click.UsageError("Say which: --forbid-pickle or --permit-pickle.")
    with client_of(ctx) as client:
        changed = client.update_registered_model(name, pickle_forbidden=pickle_forbidden)
    if as_json:
        click.echo(json_text(dataclasses.asdict(changed)))


@click.command("rm")
@click.argument("name", metavar="NAME")
@click.argument("versions", metavar="VERSION...", nargs=-1, type=click.IntRange(min=1))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each version or model that was deleted.")
@click.pass_context
def rm(ctx: click.Context, name: str, versions: tuple[int, ...], *, yes: bool, as_json: bool) -> None:
    """Delete the registered model NAME with all its versions, or each VERSION... of it, for good.

    Aliases that name them go too. The history stays, and no number is used again.
    """
    with client_of(ctx) as client:
        model = client.get_registered_model(name)
        # All is looked at before anything is deleted.
        found = [client.get_model_version(name, version) for version in versions]
        gone = {str(version) for version in versions}
        lost = [alias for alias, version in model.aliases.items() if not versions or version in gone]
        if not yes:
            what = f"version {', '.join(map(str, versions))} of {name}" if versions else f"{name} with all its versions"
            _ask(f"{what} and {count_text(len(lost), 'alias', 'aliases')}{_listed(lost)}")
        for version in found:
            with contextlib.suppress(NotFoundError):  # somebody else was faster
                client.delete_model_version(name, version.version)
            if as_json:
                click.echo(json.dumps({"name": name, "version": version.version}))
        if not versions:
            client.delete_registered_model(name)
            if as_json:
                click.echo(json.dumps({"name": name, "version": None}))


def _listed(lost: list[str]) -> str:
    return f" ({', '.join(lost[:5])}{', …' if len(lost) > 5 else ''})" if lost else ""


def _ask(what: Any) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} would be deleted for good, and nobody can be asked here: pass --yes.")
    click.confirm(f"Delete {what} for good?", abort=True, err=True)
