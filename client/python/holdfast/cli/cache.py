"""``holdfast cache``: what is kept of models on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option
from holdfast.cli.sizes import count_text, size_text

if TYPE_CHECKING:
    from holdfast.models._cache import ModelCache


@click.group("cache")
def command() -> None:
    """Show or clear the cache of models, which is kept where HOLDFAST_CACHE says, and nowhere without it."""


_directory = click.option(
    "--dir",
    "directory",
    envvar="HOLDFAST_CACHE",
    type=click.Path(file_okay=False, path_type=Path),
    help="The cache; HOLDFAST_CACHE without it.",
)


@command.command("show")
@_directory
@json_option("One JSON object.")
def show(directory: Path | None, *, as_json: bool) -> None:
    """Show how much is in the cache."""
    cache = _cache(directory)
    usage = cache.usage()
    if as_json:
        click.echo(json_text({"directory": str(directory), **dataclasses.asdict(usage)}))
        return
    click.echo(
        f"{directory} holds {count_text(usage.files, 'file')} in {size_text(usage.size)} of "
        f"{size_text(usage.capacity)}."
    )


@command.command("clear")
@_directory
def clear(directory: Path | None) -> None:
    """Remove everything from the cache; programs that use it fetch again what they need."""
    before = _cache(directory).clear()
    click.echo(f"Removed {count_text(before.files, 'file')}, {size_text(before.size)}.")


def _cache(directory: Path | None) -> ModelCache:
    from holdfast._config import cache_size
    from holdfast.models._cache import ModelCache

    if directory is None:
        raise click.UsageError("No cache is kept: set HOLDFAST_CACHE to a directory to have one, or name one by --dir.")
    return ModelCache(directory.expanduser().absolute(), cache_size())
