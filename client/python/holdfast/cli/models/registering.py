"""``holdfast models create``, ``register``, ``copy``, ``rename``, ``describe``, ``set-tag`` and ``delete-tag``."""

from __future__ import annotations

import dataclasses

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.models.naming import parse_reference
from holdfast.cli.options import json_option, key_value_pairs, tags_option
from holdfast.cli.tables import printable
from holdfast.entities import ModelVersion, RegisteredModel

_VERSION_JSON = "The version, as one JSON object."
_AFTER_JSON = "The model or version after the change, as one JSON object."


@click.command("create")
@click.argument("name", metavar="NAME")
@tags_option()
@click.option("--description", help="Describe it.")
@json_option("The registered model, as one JSON object.")
@click.pass_context
def create(ctx: click.Context, name: str, *, tags: dict[str, str], description: str | None, as_json: bool) -> None:
    """Create the registered model NAME without versions. `register` does so too when it is absent."""
    with client_of(ctx, makes_store=True) as client:
        _print(client.create_registered_model(name, tags, description), as_json=as_json)


@click.command("register")
@click.argument("name", metavar="NAME")
@click.argument("source", metavar="URI")
@tags_option()
@click.option("--description", help="Describe the version.")
@click.option("--alias", "aliases", multiple=True, metavar="ALIAS", help="Have this alias name it; several times.")
@json_option(_VERSION_JSON)
@click.pass_context
def register(
    ctx: click.Context,
    name: str,
    source: str,
    *,
    tags: dict[str, str],
    description: str | None,
    aliases: tuple[str, ...],
    as_json: bool,
) -> None:
    """Register what URI names under the next number of the registered model NAME, which is created when absent.

    URI is runs:/<run_id>/<path>, models:/<model_id>, or that of another version.
    """
    with client_of(ctx) as client:
        version = client.create_model_version(
            name, source, tags=tags, description=description, create_registered_model=True, aliases=aliases
        )
    _print(version, as_json=as_json)


@click.command("copy")
@click.argument("model", metavar="MODEL")
@click.argument("new_name", metavar="NEW_NAME")
@json_option(_VERSION_JSON)
@click.pass_context
def copy(ctx: click.Context, model: str, new_name: str, *, as_json: bool) -> None:
    """Register the files of MODEL (NAME/3, NAME@prod or NAME/latest) under the next number of NEW_NAME.

    Description, tags and run come along, aliases and the stage do not.
    """
    reference = parse_reference(model)
    if not reference.is_version:
        raise click.UsageError(f"{model!r} names no version; write NAME/3, NAME@alias or NAME/latest.")
    with client_of(ctx) as client:
        found = reference.find_version(client)
        _print(client.copy_model_version(f"models:/{found.name}/{found.version}", new_name), as_json=as_json)


@click.command("rename")
@click.argument("name", metavar="NAME")
@click.argument("new_name", metavar="NEW_NAME")
@json_option("The registered model after the change, as one JSON object.")
@click.pass_context
def rename(ctx: click.Context, name: str, new_name: str, *, as_json: bool) -> None:
    """Call the registered model NAME NEW_NAME from now on; versions, aliases and the history follow."""
    with client_of(ctx) as client:
        _print(client.rename_registered_model(name, new_name), as_json=as_json)


@click.command("describe")
@click.argument("model", metavar="MODEL")
@click.argument("text", metavar="TEXT")
@json_option(_AFTER_JSON)
@click.pass_context
def describe(ctx: click.Context, model: str, text: str, *, as_json: bool) -> None:
    """Describe MODEL, a registered model (NAME) or a version of it (NAME/3, NAME@prod, NAME/latest), by TEXT."""
    reference = parse_reference(model)
    changed: ModelVersion | RegisteredModel
    with client_of(ctx) as client:
        if reference.is_version:
            found = reference.find_version(client)
            changed = client.update_model_version(found.name, found.version, text)
        else:
            changed = client.update_registered_model(reference.name, text)
    _print(changed, as_json=as_json)


@click.command("set-tag")
@click.argument("model", metavar="MODEL")
@click.argument("tags", metavar="KEY=VALUE...", nargs=-1, required=True, callback=key_value_pairs)
@json_option(_AFTER_JSON)
@click.pass_context
def set_tag(ctx: click.Context, model: str, tags: dict[str, str], *, as_json: bool) -> None:
    """Set tags of MODEL (NAME, NAME/3, NAME@prod or NAME/latest) to what each KEY=VALUE... says."""
    reference = parse_reference(model)
    with client_of(ctx) as client:
        if reference.is_version:
            found = reference.find_version(client)
            _print(client.promote(found.name, found.version, tags=tags), as_json=as_json, quiet=True)
            return
        for key, value in tags.items():
            client.set_registered_model_tag(reference.name, key, value)
        if as_json:
            _print(client.get_registered_model(reference.name), as_json=True)


@click.command("delete-tag")
@click.argument("model", metavar="MODEL")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@json_option(_AFTER_JSON)
@click.pass_context
def delete_tag(ctx: click.Context, model: str, keys: tuple[str, ...], *, as_json: bool) -> None:
    """Remove the tag of each KEY... from MODEL (NAME, NAME/3, NAME@prod or NAME/latest); absent ones are no error."""
    reference = parse_reference(model)
    with client_of(ctx) as client:
        if reference.is_version:
            found = reference.find_version(client)
            _print(client.promote(found.name, found.version, deleted_tags=keys), as_json=as_json, quiet=True)
            return
        for key in keys:
            client.delete_registered_model_tag(reference.name, key)
        if as_json:
            _print(client.get_registered_model(reference.name), as_json=True)


def _print(changed: ModelVersion | RegisteredModel, *, as_json: bool, quiet: bool = False) -> None:
    if as_json:
        click.echo(json_text(dataclasses.asdict(changed)))
    elif not quiet:
        version = f" version {changed.version}" if isinstance(changed, ModelVersion) else ""
        click.echo(printable(f"{changed.name}{version}"))
