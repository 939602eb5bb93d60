"""``holdfast models list``, ``show`` and ``history``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import click

from holdfast._own_tags import is_own, without_own
from holdfast.cli import client_of
from holdfast.cli.models.naming import parse_reference
from holdfast.cli.tables import Column, print_pairs, print_table
from holdfast.cli.times import short_time, time_text
from holdfast.entities import ModelVersion, RegisteredModel, RegistryChange


@click.command("list")
@click.option("--filter", "filter_string", default="", help="Such as \"name LIKE 'ocr-%' AND tags.team = 'b'\".")
@click.option("--order-by", multiple=True, help='Such as "last_updated_timestamp DESC"; by name without it.')
@click.option(
    "--max", "max_results", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each registered model.")
@click.pass_context
def list_models(
    ctx: click.Context, *, filter_string: str, order_by: tuple[str, ...], max_results: int, as_json: bool
) -> None:
    """List registered models with their newest version and their aliases."""
    with client_of(ctx) as client:
        models = client.search_registered_models(filter_string, max_results=max_results, order_by=order_by)
    if as_json:
        for model in models:
            click.echo(json.dumps(dataclasses.asdict(model)))
        return
    columns = [Column("NAME", keep=True), Column("LATEST", right=True, keep=True), Column("ALIASES")]
    print_table(
        [*columns, Column("CHANGED", keep=True, short=short_time), Column("DESCRIPTION")],
        [
            (
                model.name,
                _newest(model),
                _aliases(model.aliases),
                time_text(model.last_updated_timestamp),
                model.description or "",
            )
            for model in models
        ],
    )


@click.command("show")
@click.argument("model", metavar="MODEL")
@click.option(
    "--max",
    "max_results",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="List at most so many versions.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def show(ctx: click.Context, model: str, *, max_results: int, as_json: bool) -> None:
    """Show MODEL: the name of a registered model, or one version as NAME/3, NAME@prod or NAME/latest.

    A registered model is shown with its newest versions.
    """
    reference = parse_reference(model)
    with client_of(ctx) as client:
        if reference.is_version:
            _show_version(reference.find_version(client), as_json=as_json)
            return
        registered = client.get_registered_model(reference.name)
        # A quote in a name is written twice in a filter.
        text = reference.name.replace("'", "''")
        versions = client.search_model_versions(f"name = '{text}'", max_results, ["version_number DESC"])
        _show_model(registered, versions, as_json=as_json)


@click.command("history")
@click.argument("name", metavar="NAME")
@click.option("--version", type=click.IntRange(min=1), help="Only changes of this version and of its aliases.")
@click.option(
    "--max", "max_results", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each change.")
@click.pass_context
def history(ctx: click.Context, name: str, *, version: int | None, max_results: int, as_json: bool) -> None:
    """Show what happened to the registered model NAME, newest first: who changed what, when, from what and to what.

    Nothing is ever removed from it, also when the model was renamed or is deleted.
    """
    with client_of(ctx) as client:
        changes = client.get_model_history(name, version, max_results)
    if as_json:
        for change in changes:
            click.echo(json.dumps(dataclasses.asdict(change)))
        return
    print_table(
        [Column("WHEN", keep=True, short=short_time), Column("WHO"), Column("VERSION", right=True), Column("WHAT")],
        [
            (
                time_text(change.timestamp, seconds=True),
                change.principal or change.user_id or "-",
                change.version or "-",
                change_text(change),
            )
            for change in changes
            if not (change.kind == "TAG_CHANGED" and is_own(change.key or ""))
        ],
    )
    if changes.token:
        click.echo(f"There is more; --max {2 * max_results} shows more of it.", err=True)


def change_text(change: RegistryChange) -> str:
    """What a change did, in a few words."""
    old, new = _value(change.old_value), _value(change.new_value)
    texts = {
        "MODEL_CREATED": f"created {change.name}",
        "MODEL_RENAMED": f"renamed {old} to {new}",
        "MODEL_DELETED": f"deleted {change.name} with its versions",
        "VERSION_CREATED": f"registered {new}",
        "VERSION_DELETED": f"deleted, of {old}",
        "DESCRIPTION_CHANGED": f"description: {old} -> {new}",
        "TAG_CHANGED": f"tag {change.key}: {old} -> {new}",
        "STAGE_CHANGED": f"stage: {old} -> {new}",
        "ALIAS_CHANGED": f"alias {change.key}: {old} -> {new}",
        "PICKLE_CHANGED": f"pickles: {old} -> {new}",
    }
    return texts.get(change.kind, f"{change.kind} {change.key or ''}: {old} -> {new}")


def _value(value: str | None) -> str:
    return "nothing" if value is None else " ".join(value.split()) or "''"


def _newest(model: RegisteredModel) -> str:
    return str(max((int(version.version) for version in model.latest_versions), default="-"))


def _aliases(aliases: Mapping[str, str]) -> str:
    return ", ".join(f"{alias}={version}" for alias, version in aliases.items())


def _show_version(version: ModelVersion, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(version)))
        return
    print_pairs(_version_pairs(version))


def _version_pairs(version: ModelVersion) -> list[tuple[str, str]]:
    pairs: dict[str, Any] = {
        "version": f"{version.name}/{version.version}",
        "aliases": ", ".join(version.aliases),
        "stage": version.current_stage if version.current_stage != "None" else "",
        "status": version.status,
        "source": version.source,
        "run": version.run_id,
        "model": version.model_id,
        "digest": version.digest,
        "registered": f"{time_text(version.creation_timestamp)} by {version.user_id or 'unknown'}",
        "changed": time_text(version.last_updated_timestamp),
        "description": version.description,
        **{f"tag {key}": value for key, value in without_own(version.tags).items()},
    }
    return [(name, str(value)) for name, value in pairs.items() if value]


def _show_model(model: RegisteredModel, versions: Any, *, as_json: bool) -> None:
    if as_json:
        listed = [dataclasses.asdict(version) for version in versions]
        click.echo(json.dumps({**dataclasses.asdict(model), "versions": listed}))
        return
    pairs = {
        "name": model.name,
        "aliases": _aliases(model.aliases),
        "created": time_text(model.creation_timestamp),
        "changed": time_text(model.last_updated_timestamp),
        "description": model.description or "",
        "pickles": "forbidden" if model.pickle_forbidden else "",
        **{f"tag {key}": value for key, value in without_own(model.tags).items()},
    }
    print_pairs([(name, value) for name, value in pairs.items() if value])
    click.echo()
    staged = any(version.current_stage != "None" for version in versions)
    columns = [Column("VERSION", right=True, keep=True), Column("ALIASES")]
    columns += [Column("REGISTERED", keep=True, short=short_time), Column("BY"), Column("SOURCE")]
    print_table(
        [*columns, Column("STAGE")] if staged else columns,
        [
            (
                version.version,
                ", ".join(version.aliases),
                time_text(version.creation_timestamp),
                version.user_id or "-",
                version.source,
                *([version.current_stage] if staged else []),
            )
            for version in versions
        ],
    )
    if versions.token:
        click.echo("There are more versions; --max shows more of them.", err=True)
