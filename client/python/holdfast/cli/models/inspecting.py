"""``holdfast models inspect``."""

from __future__ import annotations

import sys
from typing import Any

import click

from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option
from holdfast.cli.sizes import size_text
from holdfast.cli.tables import Column, print_pairs, print_table

# Something deserves a look before the model is loaded. Scripts decide by it.
SUSPICIOUS = 4


@click.command("inspect")
@click.argument("uri", metavar="URI")
@json_option("One JSON object.")
@click.pass_context
def inspect(ctx: click.Context, uri: str, *, as_json: bool) -> None:
    """Show what is in the model at URI, and what loading it would import, without loading it.

    URI is a local directory, or models:/NAME/3, models:/NAME@prod, models:/ID, runs:/RUN/NAME. Exits with 4 when
    something deserves a look first: names that run programs or code, what cannot be followed, files that are not those
    that were saved, a module that would be imported to load it. That nothing does is no proof that the model is
    harmless.
    """
    from holdfast.models import inspect_model

    if (server := ctx.find_root().obj) is not None:
        from holdfast._connection import connect

        connect(server)
    found = inspect_model(uri)
    if as_json:
        click.echo(json_text(found.to_dictionary()))
    else:
        _print(found)
    sys.stdout.flush()
    if found.is_suspicious:
        ctx.exit(SUSPICIOUS)


def _print(found: Any) -> None:
    sklearn = found.flavors.get("sklearn", {})
    pairs = {
        "flavors": ", ".join(sorted(found.flavors)),
        "format": sklearn.get("serialization_format", ""),
        "scikit-learn": sklearn.get("sklearn_version", ""),
        **{key.replace("_", " "): value for key, value in found.origin.items()},
        "inputs": (found.signature or {}).get("inputs") or "",
        "outputs": (found.signature or {}).get("outputs") or "",
        "params": (found.signature or {}).get("params") or "",
        "requirements": ", ".join(found.requirements),
    }
    print_pairs([(key, str(value)) for key, value in pairs.items() if value])
    click.echo()
    print_table(
        [Column("FILE", keep=True), Column("SIZE", right=True), Column("DIGEST"), Column("STATE")],
        [(file.path, size_text(file.size), file.digest[:16], file.state or "-") for file in found.files],
    )
    for item in found.objects:
        click.echo(f"\n{item.path} ({item.format}) would import:")
        for name in item.imports:
            reason = item.suspicious.get(name)
            click.echo(f"  {name}" + (f"  SUSPICIOUS: {reason}" if reason else ""))
        for name, reason in item.suspicious.items():
            if name not in item.imports:
                click.echo(f"  SUSPICIOUS: {name}: {reason}")
        if item.carries_code:
            click.echo("  and it carries functions or classes with their code, which no list of names tells of")
        if item.untrusted_types:
            click.echo(f"  types to name in skops_trusted_types: {', '.join(item.untrusted_types)}")
    if found.code:
        click.echo("\ncode of its own, imported when it is loaded: " + ", ".join(found.code))
    for problem in found.problems:
        click.echo(f"\nPROBLEM: {problem}")
