"""``holdfast logged-models set-tag``, ``delete-tag``, ``delete`` and ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.logged_models.naming import find_model_id
from holdfast.cli.options import json_option, key_value_pairs
from holdfast.cli.tables import printable

if TYPE_CHECKING:
    from holdfast._client import Client
    from holdfast.entities import LoggedModel

_JSON_AFTER = "The logged model after the change, as one JSON object."


@click.command("set-tag")
@click.argument("model_id", metavar="MODEL_ID")
@click.argument("tags", metavar="KEY=VALUE...", nargs=-1, required=True, callback=key_value_pairs)
@json_option(_JSON_AFTER)
@click.pass_context
def set_tag(ctx: click.Context, model_id: str, tags: dict[str, str], *, as_json: bool) -> None:
    """Set tags of the logged model MODEL_ID to what each KEY=VALUE... says."""
    with client_of(ctx) as client:
        found = find_model_id(client, model_id)
        client.set_logged_model_tags(found, tags)
        _print_json(client, found, as_json=as_json)


@click.command("delete-tag")
@click.argument("model_id", metavar="MODEL_ID")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@json_option(_JSON_AFTER)
@click.pass_context
def delete_tag(ctx: click.Context, model_id: str, keys: tuple[str, ...], *, as_json: bool) -> None:
    """Remove the tag of each KEY... from the logged model MODEL_ID; one that is not there is passed over."""
    with client_of(ctx) as client:
        found = find_model_id(client, model_id)
        for key in keys:
            client.delete_logged_model_tag(found, key)
        _print_json(client, found, as_json=as_json)


@click.command("delete")
@click.argument("model_ids", metavar="MODEL_ID...", nargs=-1, required=True)
@json_option("One JSON object for each logged model, after the change.")
@click.pass_context
def delete(ctx: click.Context, model_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Mark each MODEL_ID... as deleted; `restore` undoes it, until `holdfast gc --purge-deleted` frees the space.

    Versions that were registered from them stay.
    """
    with client_of(ctx) as client:
        # All are looked at before anything is deleted.
        for model in _read(client, model_ids):
            client.delete_logged_model(model.model_id)
            what = f"is deleted; `holdfast logged-models restore {model.model_id}` undoes it"
            _report(client, model, what, as_json=as_json)


@click.command("restore")
@click.argument("model_ids", metavar="MODEL_ID...", nargs=-1, required=True)
@json_option("One JSON object for each logged model, after the change.")
@click.pass_context
def restore(ctx: click.Context, model_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Undo the deletion of each MODEL_ID...."""
    with client_of(ctx) as client:
        for model in _read(client, model_ids):
            client.restore_logged_model(model.model_id)
            _report(client, model, "is restored", as_json=as_json)


def _read(client: Client, model_ids: tuple[str, ...]) -> list[LoggedModel]:
    return [client.get_logged_model(find_model_id(client, text), allow_deleted=True) for text in model_ids]


def _report(client: Client, model: LoggedModel, what: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(client, model.model_id, as_json=True)
    else:
        click.echo(printable(f"logged model {model.model_id} ({model.name}) {what}"))


def _print_json(client: Client, model_id: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(client.get_logged_model(model_id, allow_deleted=True).to_dictionary()))
