"""``holdfast experiments create``, ``rename``, ``delete``, ``restore``, ``set-tag`` and ``delete-tag``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option, key_value_pairs, tags_option
from holdfast.cli.tables import printable

if TYPE_CHECKING:
    from holdfast._client import Client

_JSON_AFTER = "The experiment after the change, as one JSON object."


@click.command("create")
@click.argument("name", metavar="NAME")
@tags_option()
@click.option(
    "--artifact-location",
    metavar="URI",
    help="Kept with it for tools that look there; the server stores artifacts itself, whatever this says.",
)
@json_option("The experiment, as one JSON object.")
@click.pass_context
def create(
    ctx: click.Context, name: str, *, tags: dict[str, str], artifact_location: str | None, as_json: bool
) -> None:
    """Create the experiment NAME and print its id.

    A name that is taken, perhaps by an experiment that is deleted, is refused.
    """
    with client_of(ctx, makes_store=True) as client:
        experiment_id = client.create_experiment(name, artifact_location, tags)
        if as_json:
            _print_json(client, experiment_id)
        else:
            click.echo(experiment_id)


@click.command("rename")
@click.argument("experiment", metavar="EXPERIMENT")
@click.argument("new_name", metavar="NEW_NAME")
@json_option(_JSON_AFTER)
@click.pass_context
def rename(ctx: click.Context, experiment: str, new_name: str, *, as_json: bool) -> None:
    """Call EXPERIMENT, an id or a name, NEW_NAME from now on."""
    with client_of(ctx) as client:
        found = find_experiment(client, experiment)
        client.rename_experiment(found.experiment_id, new_name)
        _report(client, found.experiment_id, f"is called {new_name} now", as_json=as_json)


@click.command("delete")
@click.argument("experiments", metavar="EXPERIMENT...", nargs=-1, required=True)
@json_option("One JSON object for each experiment, after the change.")
@click.pass_context
def delete(ctx: click.Context, experiments: tuple[str, ...], *, as_json: bool) -> None:
    """Mark each EXPERIMENT..., an id or a name, and its runs as deleted; `restore` undoes it.

    Their names stay reserved. `holdfast gc --purge-deleted` removes their runs for good.
    """
    with client_of(ctx) as client:
        # All are looked at before anything is deleted.
        for found in [find_experiment(client, text) for text in experiments]:
            client.delete_experiment(found.experiment_id)
            what = f"({found.name}) is deleted; `holdfast experiments restore {found.experiment_id}` undoes it"
            _report(client, found.experiment_id, what, as_json=as_json)


@click.command("restore")
@click.argument("experiments", metavar="EXPERIMENT...", nargs=-1, required=True)
@json_option("One JSON object for each experiment, after the change.")
@click.pass_context
def restore(ctx: click.Context, experiments: tuple[str, ...], *, as_json: bool) -> None:
    """Restore each EXPERIMENT..., an id or a name, and the runs that were deleted with it."""
    with client_of(ctx) as client:
        for found in [find_experiment(client, text) for text in experiments]:
            client.restore_experiment(found.experiment_id)
            _report(client, found.experiment_id, f"({found.name}) is restored", as_json=as_json)


@click.command("set-tag")
@click.argument("experiment", metavar="EXPERIMENT")
@click.argument("tags", metavar="KEY=VALUE...", nargs=-1, required=True, callback=key_value_pairs)
@json_option(_JSON_AFTER)
@click.pass_context
def set_tag(ctx: click.Context, experiment: str, tags: dict[str, str], *, as_json: bool) -> None:
    """Set tags of EXPERIMENT, an id or a name, to what each KEY=VALUE... says, all of them or none."""
    with client_of(ctx) as client:
        experiment_id = find_experiment(client, experiment).experiment_id
        client.set_experiment_tags(experiment_id, tags)
        if as_json:
            _print_json(client, experiment_id)


@click.command("delete-tag")
@click.argument("experiment", metavar="EXPERIMENT")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@json_option(_JSON_AFTER)
@click.pass_context
def delete_tag(ctx: click.Context, experiment: str, keys: tuple[str, ...], *, as_json: bool) -> None:
    """Remove the tag of each KEY... from EXPERIMENT, an id or a name; one that is not there is passed over."""
    with client_of(ctx) as client:
        experiment_id = find_experiment(client, experiment).experiment_id
        for key in keys:
            client.delete_experiment_tag(experiment_id, key)
        if as_json:
            _print_json(client, experiment_id)


def _report(client: Client, experiment_id: str, what: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(client, experiment_id)
    else:
        click.echo(printable(f"experiment {experiment_id} {what}"))


def _print_json(client: Client, experiment_id: str) -> None:
    click.echo(json_text(dataclasses.asdict(client.get_experiment(experiment_id))))
