"""``holdfast backup`` and ``holdfast restore``: they read the options and have the server's package do the work."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from holdfast.cli.options import json_option
from holdfast.cli.server.launching import hand_over

_PATH = click.Path(path_type=Path)


_credentials_option = click.option(
    "--s3-credentials-file",
    envvar="HOLDFAST_SERVER_S3_CREDENTIALS_FILE",
    type=_PATH,
    metavar="FILE",
    help="Credentials of the bucket in AWS ini format; without it the usual AWS_… variables are read.",
)


@click.command("backup")
@click.argument("destination", metavar="DEST", type=_PATH)
@click.option(
    "--data-dir",
    envvar="HOLDFAST_SERVER_DATA_DIR",
    type=_PATH,
    metavar="DIR",
    help="The server's data directory; without it HOLDFAST_SERVER_DATA_DIR, or the directory that --uri names.",
)
@click.option(
    "--store",
    envvar="HOLDFAST_SERVER_STORE",
    metavar="URL",
    help="The bucket of the blocks, when it is reached by another URL now than the server was first started with.",
)
@click.option(
    "--no-objects",
    is_flag=True,
    help="For blocks in a bucket: back up the database and the list of the objects that it needs, and not these.",
)
@click.option("--keep", type=click.IntRange(1), metavar="COUNT", help="Remove all but the newest COUNT backups.")
@json_option("One JSON object.")
@_credentials_option
@click.pass_context
def backup(
    ctx: click.Context,
    *,
    destination: Path,
    data_dir: Path | None,
    store: str | None,
    no_objects: bool,
    keep: int | None,
    as_json: bool,
    s3_credentials_file: Path | None,
) -> None:
    """Back up a data directory and its blocks to the directory DEST, while servers use it.

    Run it on the server's host. A later backup to the same DEST copies only what is new.
    """
    is_named = ctx.get_parameter_source("data_dir") == ParameterSource.COMMANDLINE
    if data_dir is None or (ctx.find_root().obj and not is_named):  # an option wins over a variable
        data_dir = _directory_of(ctx)
    arguments = ["create", "--data-dir", str(data_dir)]
    arguments += _given("--store", store) + _given("--s3-credentials-file", s3_credentials_file)
    arguments += _given("--keep", keep) + ["--no-objects"] * no_objects + ["--json"] * as_json
    hand_over([*arguments, "--", str(destination)], "holdfast_server.backup")


@click.command("restore")
@click.argument("source", metavar="[SRC]", type=_PATH, required=False)
@click.option("--to", "target", type=_PATH, metavar="DIR", help="The data directory to make; empty or absent.")
@click.option("--backup", "backup_id", metavar="ID", help="Which backup; the newest without it.")
@click.option(
    "--verify", is_flag=True, help="Check every row and read every block back; without --to, in the backup itself."
)
@click.option("--list", "lists", is_flag=True, help="List the backups in SRC and end.")
@click.option(
    "--store",
    metavar="URL",
    help="Put the blocks into this bucket, not below DIR; with --adopt-store: how it is reached now.",
)
@click.option(
    "--adopt-store",
    is_flag=True,
    help="Take over the bucket of the backed-up server, which must be gone; only what it lacks is copied.",
)
@click.option(
    "--before-migration",
    type=_PATH,
    metavar="DIR",
    help="Put the database of the data directory DIR back to what it was before its last migration.",
)
@json_option("One JSON object.")
@_credentials_option
def restore(
    *,
    source: Path | None,
    target: Path | None,
    backup_id: str | None,
    verify: bool,
    lists: bool,
    store: str | None,
    adopt_store: bool,
    before_migration: Path | None,
    as_json: bool,
    s3_credentials_file: Path | None,
) -> None:
    """Bring back a backup that `holdfast backup` made in the directory SRC.

    Nothing is overwritten: DIR is empty or absent. One that was interrupted goes on when it is run again.
    """
    stores = _given("--store", store) + _given("--s3-credentials-file", s3_credentials_file)
    as_asked = ["--json"] * as_json
    if before_migration is not None:
        if source or target or backup_id or verify or lists or adopt_store:
            raise click.UsageError("--before-migration stands alone, but for --store and --s3-credentials-file.")
        arguments = ["rollback", *stores, *as_asked, "--", str(before_migration)]
    elif source is None:
        raise click.UsageError("Name the directory of the backups, or a data directory by --before-migration.")
    elif lists:
        arguments = ["list", *as_asked, "--", str(source)]
    elif target is not None:
        arguments = ["restore", "--to", str(target), *_given("--backup", backup_id), *["--verify"] * verify]
        arguments += [*["--adopt-store"] * adopt_store, *stores, *as_asked, "--", str(source)]
    elif verify:
        arguments = ["verify", *_given("--backup", backup_id), *as_asked, "--", str(source)]
    else:
        raise click.UsageError("Say where by --to DIR; or --verify the backup, or --list all of them.")
    hand_over(arguments, "holdfast_server.backup")


def _given(option: str, value: object) -> list[str]:
    """An option to pass on, when it was given."""
    return [] if value in (None, "") else [option, str(value)]


def _directory_of(ctx: click.Context) -> Path:
    """The directory that the command line or HOLDFAST_URI names."""
    from holdfast._config import parse_target

    target = parse_target(ctx.find_root().obj)
    if target.data_dir is None:
        raise click.UsageError(
            f"{target.uri} is a server; a backup is made on its host, of its data directory: name it by --data-dir."
        )
    return target.data_dir
