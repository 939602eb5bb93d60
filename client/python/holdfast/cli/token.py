"""``holdfast token`` and ``holdfast whoami``."""

from __future__ import annotations

import dataclasses
import shlex
from datetime import timedelta

import click

from holdfast._times import now_ms
from holdfast.cli import client_of
from holdfast.cli.json_output import json_text
from holdfast.cli.lengths_of_time import length_of_time
from holdfast.cli.options import json_option
from holdfast.cli.tables import Column, print_pairs, print_table, printable
from holdfast.cli.times import short_time, time_text
from holdfast.entities import CreatedToken, Token

ROLES = ["none", "read", "write", "manage", "admin"]


def _expiry(ctx: click.Context, param: click.Parameter, value: str) -> timedelta | None:
    return None if value.strip().lower() == "never" else length_of_time(ctx, param, value)


_description_option = click.option("--description", default="", metavar="TEXT", help="For people: where it is used.")
_secret_json_option = json_option("The token with its secret, as one JSON object.")


@click.group("token")
def command() -> None:
    """Make, list and revoke the tokens by which a server knows who calls.

    This needs the role admin, but for making those of workers.
    """


@command.command("create")
@click.option("--principal", required=True, metavar="NAME", help="Whose it shall be: a person or a program.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="What it allows at most. A principal that is not there yet is added with this role on the server.",
)
@click.option(
    "--expires",
    default="90d",
    show_default=True,
    metavar="TIME",
    callback=_expiry,
    help="For how long it is good, such as 12h or 90d; never for ever.",
)
@_description_option
@_secret_json_option
@click.pass_context
def create(
    ctx: click.Context, *, principal: str, role: str | None, expires: timedelta | None, description: str, as_json: bool
) -> None:
    """Make a token and print its secret, this one time: HOLDFAST_TOKEN takes it.

    With --role none a new principal may do nothing but what `holdfast access grant` allows.
    """
    with client_of(ctx) as client:
        created = client.create_token(
            principal,
            role=None if role == "none" else role,
            new_principal_role=role,
            expires_in=expires,
            description=description,
        )
    if as_json:
        _print_json(created)
        return
    until = created.token.expiration_time
    good = "for ever" if until is None else f"until {time_text(until)}"
    click.echo(printable(f"Token {created.token.token_id} of {principal}, good {good}:"), err=True)
    click.echo(created.secret)


@command.command("create-worker")
@click.argument("run_id", metavar="RUN")
@click.option("--prefix", "path_prefix", metavar="PATH", help="Where in the run's artifacts it may write.")
@click.option("--budget", "byte_budget", type=int, metavar="BYTES", help="How many bytes of artifacts it may send.")
@click.option(
    "--lifetime",
    default="1h",
    show_default=True,
    metavar="TIME",
    callback=length_of_time,
    help="For how long it is good after each renewal of the run's lease, from a minute to a day.",
)
@_description_option
@_secret_json_option
@click.pass_context
def create_worker(
    ctx: click.Context,
    run_id: str,
    *,
    path_prefix: str | None,
    byte_budget: int | None,
    lifetime: timedelta,
    description: str,
    as_json: bool,
) -> None:
    """Make a token that logs to RUN and reads nothing, for a worker, and print what its environment needs.

    It lives as long as the run goes on and the worker renews its lease, which `holdfast.start_run()` does. This needs
    the role write on the run, and not admin.
    """
    with client_of(ctx) as client:
        created = client.create_worker_token(
            run_id, path_prefix=path_prefix, byte_budget=byte_budget, lifetime=lifetime, description=description
        )
        uri = client.tracking_uri
    if as_json:
        _print_json(created)
        return
    token = created.token
    text = (
        f"Token {token.token_id} of {token.principal} for run {run_id}, good until {time_text(token.expiration_time)}:"
    )
    click.echo(printable(text), err=True)
    for name, value in (("URI", uri), ("TOKEN", created.secret), ("RUN_ID", run_id)):
        click.echo(f"export HOLDFAST_{name}={shlex.quote(value)}")


@command.command("ls")
@click.option("--principal", metavar="NAME", help="Only those of this one.")
@click.option("--all", "unlimited", is_flag=True, help="Those that expired or were revoked, too.")
@json_option("One JSON object for each token.")
@click.pass_context
def ls(ctx: click.Context, *, principal: str | None, unlimited: bool, as_json: bool) -> None:
    """List tokens, the oldest first; none is shown with its secret, which nobody has but its holder."""
    with client_of(ctx) as client:
        found = client.list_tokens(principal)
    now = now_ms()
    shown = [token for token in found if unlimited or _state(token, now) == "good"]
    if as_json:
        for token in shown:
            click.echo(json_text({**dataclasses.asdict(token), "state": _state(token, now)}))
        return
    columns = [
        Column("TOKEN", keep=True),
        Column("PRINCIPAL"),
        Column("ROLE"),
        Column("STATE"),
        Column("EXPIRES", keep=True, short=short_time),
        Column("LAST USED", keep=True, short=short_time),
        Column("DESCRIPTION"),
    ]
    print_table(columns, [_row(token, now) for token in shown])


@command.command("revoke")
@click.argument("token_ids", metavar="TOKEN...", nargs=-1, required=True)
@json_option("One JSON object for each token, after the change.")
@click.pass_context
def revoke(ctx: click.Context, token_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Make each TOKEN..., by its id, useless for good; calls in progress end with it."""
    with client_of(ctx) as client:
        for token_id in token_ids:
            token = client.revoke_token(token_id)
            if as_json:
                click.echo(json_text(dataclasses.asdict(token)))
            else:
                click.echo(printable(f"Token {token.token_id} of {token.principal} is revoked."))


@click.command("whoami")
@json_option("One JSON object.")
@click.pass_context
def whoami(ctx: click.Context, *, as_json: bool) -> None:
    """Tell who the server takes you for, and what you may do where no grant says otherwise."""
    with client_of(ctx) as client:
        caller = client.get_caller()
        uri = client.tracking_uri
    if as_json:
        click.echo(json_text({"server": uri, **dataclasses.asdict(caller)}))
        return
    pairs = [
        ("server", uri),
        ("principal", caller.principal or "nobody in particular: this server does not ask who calls"),
        ("role", caller.role),
    ]
    if caller.token is not None:
        pairs.append(("token", caller.token.token_id))
        pairs.append(("expires", _expiry_text(caller.token)))
    print_pairs(pairs)


def _print_json(created: CreatedToken) -> None:
    click.echo(json_text({**dataclasses.asdict(created.token), "secret": created.secret}))


def _expiry_text(token: Token) -> str:
    return "never" if token.expiration_time is None else time_text(token.expiration_time)


def _state(token: Token, now: int) -> str:
    if token.revocation_time is not None:
        return "revoked"
    return "expired" if token.expiration_time is not None and token.expiration_time <= now else "good"


def _row(token: Token, now: int) -> list[str]:
    return [
        token.token_id,
        token.principal,
        token.role,
        _state(token, now),
        _expiry_text(token),
        time_text(token.last_use_time),
        token.description or "-",
    ]
