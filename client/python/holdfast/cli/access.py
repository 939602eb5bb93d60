"""``holdfast access``: who may do what."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.experiments.naming import find_experiment
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option
from holdfast.cli.tables import Column, print_table, printable
from holdfast.cli.token import ROLES
from holdfast.entities import Grant

if TYPE_CHECKING:
    from holdfast._client import Client

_experiment = click.option("-e", "--experiment", metavar="EXPERIMENT", help="On this experiment, by id or name.")
_model = click.option("-m", "--model", metavar="NAME", help="On the registered model of this name.")


@click.group("access")
def command() -> None:
    """Say who may do what, and list it. This needs the role admin; `docs/security.md` tells what roles mean."""


@command.command("grant")
@click.argument("principal", metavar="PRINCIPAL")
@click.argument("role", metavar="ROLE", type=click.Choice(ROLES))
@_experiment
@_model
@click.pass_context
def grant(ctx: click.Context, principal: str, role: str, *, experiment: str | None, model: str | None) -> None:
    """Give PRINCIPAL the role ROLE: none, read, write, manage or admin.

    Without an option it is the role on the whole server, and a principal that is not there yet is added. On an
    experiment or registered model it counts in place of that on the server: `none` hides it.
    """
    _check_one(experiment, model)
    with client_of(ctx) as client:
        if experiment is None and model is None:
            client.set_principal(principal, role)
            where = "the server"
        else:
            where = _set(client, principal, role, experiment, model)
    click.echo(printable(f"{principal} has {role} on {where}."))


@command.command("take-back")
@click.argument("principal", metavar="PRINCIPAL")
@_experiment
@_model
@click.pass_context
def take_back(ctx: click.Context, principal: str, *, experiment: str | None, model: str | None) -> None:
    """Take back what PRINCIPAL was granted on an experiment or model: its role on the server counts again."""
    _check_one(experiment, model)
    if experiment is None and model is None:
        raise click.UsageError(
            "Say on what: --experiment or --model. For the server there is `access grant PRINCIPAL none`."
        )
    with client_of(ctx) as client:
        where = _set(client, principal, None, experiment, model)
    click.echo(printable(f"{principal} has on {where} what it has on the server."))


@command.command("remove")
@click.argument("principals", metavar="PRINCIPAL...", nargs=-1, required=True)
@click.pass_context
def remove(ctx: click.Context, principals: tuple[str, ...]) -> None:
    """Remove each PRINCIPAL... with its tokens and grants. What it did keeps its name."""
    with client_of(ctx) as client:
        for principal in principals:
            client.delete_principal(principal)
            click.echo(printable(f"{principal} is removed."))


@command.command("ls")
@click.option("--principal", metavar="NAME", help="Only what this one may do.")
@_experiment
@_model
@json_option("One JSON object for each role.")
@click.pass_context
def ls(ctx: click.Context, *, principal: str | None, experiment: str | None, model: str | None, as_json: bool) -> None:
    """List who has which role: on the server, then on experiments and registered models."""
    _check_one(experiment, model)
    with client_of(ctx) as client:
        on_server = [] if experiment or model else client.list_principals()
        number = find_experiment(client, experiment).experiment_id if experiment else None
        grants = client.list_grants(principal, experiment_id=number, registered_model=model)
    rows = [(one.name, one.role, "the server") for one in on_server if principal in {None, one.name}]
    if as_json:
        for name, role, _ in rows:
            click.echo(json_text(dataclasses.asdict(Grant(principal=name, role=role))))
        for one in grants:
            click.echo(json_text(dataclasses.asdict(one)))
        return
    rows += [(one.principal, one.role, _where(one)) for one in grants]
    print_table([Column("PRINCIPAL"), Column("ROLE", keep=True), Column("ON")], rows)


def _check_one(experiment: str | None, model: str | None) -> None:
    if experiment is not None and model is not None:
        raise click.UsageError("Give --experiment or --model, not both.")


def _set(client: Client, principal: str, role: str | None, experiment: str | None, model: str | None) -> str:
    if experiment is None:
        client.set_grant(principal, role, registered_model=model)
        return f"registered model {model}"
    found = find_experiment(client, experiment)
    client.set_grant(principal, role, experiment_id=found.experiment_id)
    return f"experiment {found.experiment_id} ({found.name})"


def _where(grant: Grant) -> str:
    if grant.experiment_id is not None:
        return f"experiment {grant.experiment_id}"
    return f"registered model {grant.registered_model}"
