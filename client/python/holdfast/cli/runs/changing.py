"""``holdfast runs create``, ``log``, ``end``, ``rename``, ``set-tag``, ``delete-tag``, ``delete`` and ``restore``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option, key_value_pairs, tags_option
from holdfast.cli.runs.naming import find_run_id
from holdfast.cli.tables import printable
from holdfast.entities import Metric, Param, RunTag
from holdfast.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from holdfast._client import Client

_PARENT_TAG, _NOTE_TAG, _USER_TAG = "mlflow.parentRunId", "mlflow.note.content", "mlflow.user"
_JSON_AFTER = "The run after the change, as one JSON object."


def _numbers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Parse ``key=number``."""
    found = {}
    for key, text in key_value_pairs(ctx, param, values).items():
        try:
            # Python reads 1_000 and the digits of all scripts too, which are slips here.
            found[key] = float(text if text.isascii() and "_" not in text else "")
        except ValueError:
            raise click.BadParameter(f"{text!r} is no number.", ctx, param) from None
    return found


@click.command("create")
@click.option("--experiment", "-e", metavar="NAME|ID", help="Where it belongs; Default without it.")
@click.option("--name", help="What to call it; made up without it.")
@tags_option()
@click.option("--parent", metavar="RUN_ID", help="The run that it is a part of.")
@click.option("--description", help="Describe it.")
@json_option("The run, as one JSON object.")
@click.pass_context
def create(
    ctx: click.Context,
    *,
    experiment: str | None,
    name: str | None,
    tags: dict[str, str],
    parent: str | None,
    description: str | None,
    as_json: bool,
) -> None:
    """Begin a run and print its id. It goes on until `holdfast runs end`.

    It has no lease, as no process stands for it, so it never shows as LOST.
    """
    from holdfast._context import user_name

    with client_of(ctx, makes_store=True) as client:
        experiment_id = find_experiment(client, experiment).experiment_id if experiment is not None else "0"
        origins = {
            _USER_TAG: user_name(),
            _NOTE_TAG: description,
            _PARENT_TAG: client.get_run(find_run_id(client, parent)).info.run_id if parent else None,
        }
        run = client.create_run(
            experiment_id, tags={**{key: value for key, value in origins.items() if value}, **tags}, run_name=name
        )
    click.echo(json_text(run.to_dictionary()) if as_json else run.info.run_id)


@click.command("log")
@click.argument("run_id", metavar="RUN_ID")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    callback=_numbers,
    metavar="KEY=NUMBER",
    help="Log a point of a metric; several times.",
)
@click.option("--step", type=int, default=0, show_default=True, help="The step of the points.")
@click.option(
    "--param",
    "params",
    multiple=True,
    callback=key_value_pairs,
    metavar="KEY=VALUE",
    help="Log a param; several times.",
)
@json_option(_JSON_AFTER)
@click.pass_context
def log(
    ctx: click.Context,
    run_id: str,
    *,
    metrics: dict[str, float],
    step: int,
    params: dict[str, str],
    as_json: bool,
) -> None:
    """Log metrics and params of the run RUN_ID, all of them or none; each key once."""
    if not metrics and not params:
        raise click.UsageError("Say what to log: --metric KEY=NUMBER or --param KEY=VALUE.")
    now = int(time.time() * 1000)
    with client_of(ctx) as client:
        found = find_run_id(client, run_id)
        client.log_batch(
            found,
            [Metric(key, value, now, step) for key, value in metrics.items()],
            [Param(key, value) for key, value in params.items()],
        )
        _print_json(client, found, as_json=as_json)


@click.command("end")
@click.argument("run_id", metavar="RUN_ID")
@click.option(
    "--status",
    type=click.Choice(["FINISHED", "FAILED", "KILLED"], case_sensitive=False),
    default="FINISHED",
    show_default=True,
    help="How it ended.",
)
@json_option(_JSON_AFTER)
@click.pass_context
def end(ctx: click.Context, run_id: str, *, status: str, as_json: bool) -> None:
    """End the run RUN_ID now; one that has ended gets this end."""
    with client_of(ctx) as client:
        run = client.get_run(find_run_id(client, run_id))
        if run.info.lifecycle_stage == "deleted":
            raise FailedPreconditionError(f"Run {run.info.run_id} is deleted; restore it first.")
        client.set_terminated(run.info.run_id, status.upper())
        _print_json(client, run.info.run_id, as_json=as_json)


@click.command("rename")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("new_name", metavar="NEW_NAME")
@json_option(_JSON_AFTER)
@click.pass_context
def rename(ctx: click.Context, run_id: str, new_name: str, *, as_json: bool) -> None:
    """Call the run RUN_ID NEW_NAME from now on."""
    with client_of(ctx) as client:
        found = find_run_id(client, run_id)
        client.update_run(found, name=new_name)
        _print_json(client, found, as_json=as_json)


@click.command("set-tag")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("tags", metavar="KEY=VALUE...", nargs=-1, required=True, callback=key_value_pairs)
@json_option(_JSON_AFTER)
@click.pass_context
def set_tag(ctx: click.Context, run_id: str, tags: dict[str, str], *, as_json: bool) -> None:
    """Set tags of the run RUN_ID to what each KEY=VALUE... says, all of them or none."""
    with client_of(ctx) as client:
        found = find_run_id(client, run_id)
        client.log_batch(found, tags=[RunTag(key, value) for key, value in tags.items()])
        _print_json(client, found, as_json=as_json)


@click.command("delete-tag")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@json_option(_JSON_AFTER)
@click.pass_context
def delete_tag(ctx: click.Context, run_id: str, keys: tuple[str, ...], *, as_json: bool) -> None:
    """Remove the tag of each KEY... from the run RUN_ID; one that is not there is passed over."""
    with client_of(ctx) as client:
        found = find_run_id(client, run_id)
        for key in keys:
            try:
                client.delete_tag(found, key)
            except NotFoundError as error:
                if error.reason != "TAG_NOT_FOUND":
                    raise
        _print_json(client, found, as_json=as_json)


@click.command("delete")
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@json_option("One JSON object for each run, after the change.")
@click.pass_context
def delete(ctx: click.Context, run_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Mark each RUN_ID... as deleted; `restore` undoes it, until `holdfast gc --purge-deleted` frees the space."""
    with client_of(ctx) as client:
        # All are looked at before anything is deleted.
        for run in [client.get_run(find_run_id(client, run_id)) for run_id in run_ids]:
            client.delete_run(run.info.run_id)
            what = f"({run.info.run_name}) is deleted; `holdfast runs restore {run.info.run_id}` undoes it"
            _report(client, run.info.run_id, what, as_json=as_json)


@click.command("restore")
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@json_option("One JSON object for each run, after the change.")
@click.pass_context
def restore(ctx: click.Context, run_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Undo the deletion of each RUN_ID...."""
    with client_of(ctx) as client:
        for run in [client.get_run(find_run_id(client, run_id)) for run_id in run_ids]:
            client.restore_run(run.info.run_id)
            _report(client, run.info.run_id, f"({run.info.run_name}) is restored", as_json=as_json)


def _report(client: Client, run_id: str, what: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(client, run_id, as_json=True)
    else:
        click.echo(printable(f"run {run_id} {what}"))


def _print_json(client: Client, run_id: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(client.get_run(run_id).to_dictionary()))
