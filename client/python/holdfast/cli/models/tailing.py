"""``holdfast models tail``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from holdfast.cli import client_of
from holdfast.cli.following import cursor_option, event_line, event_lines, print_events, types_option
from holdfast.cli.models.naming import parse_reference
from holdfast.cli.options import json_option
from holdfast.entities import Event, RegisteredModel


@click.command("tail")
@click.argument("model", metavar="MODEL")
@cursor_option("model")
@types_option()
@json_option("One JSON object for each event, the first for the registered model as it is.")
@click.pass_context
def tail(ctx: click.Context, model: str, *, cursor: str | None, types: tuple[str, ...], as_json: bool) -> None:
    """Print what the registered model MODEL is, and what it, its versions and aliases become, until it is deleted.

    As NAME@prod, only what that alias names, and what becomes of the registered model itself. It goes on where it was
    when the server is restarted, and when the model gets another name.
    """
    reference = parse_reference(model)
    if reference.version is not None or reference.alias == "latest":
        raise click.UsageError(f"A version never changes its files: write {reference.name} or {reference.name}@alias.")
    alias = reference.alias

    def lines(event: Event) -> Iterator[str]:
        if isinstance(event.state, RegisteredModel):
            return _state_lines(event.state, alias)
        return _alias_lines(event) if event.subject == "ALIAS" else event_lines(event, _who(event))

    with client_of(ctx) as client, client.watch_model(reference.name, alias, cursor, types=types) as watch:
        print_events(watch, lines, _ends, was_over=False, as_json=as_json)


def _ends(event: Event) -> bool:
    return (event.subject, event.type) == ("REGISTERED_MODEL", "DELETED")


def _who(event: Event) -> str:
    return f"version {event.version}" if event.version else "model"


def _state_lines(model: RegisteredModel, alias: str | None) -> Iterator[str]:
    if alias is not None:
        yield _named(None, alias, model.aliases.get(alias))
        return
    yield event_line(None, "name", model.name, "model")
    for version in sorted(model.latest_versions, key=lambda version: int(version.version)):
        yield event_line(version.creation_timestamp, "source", version.source, f"version {version.version}")
    for each, named in model.aliases.items():
        yield _named(None, each, named)


def _alias_lines(event: Event) -> Iterator[str]:
    yield _named(event.timestamp, event.alias or "", event.version)


def _named(at: int | None, alias: str, version: str | None) -> str:
    return event_line(at, "names", f"version {version}" if version else "nothing", f"alias {alias}")
