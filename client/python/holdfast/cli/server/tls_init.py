"""``holdfast server tls-init``: certificates for a trial."""

from __future__ import annotations

import importlib.util
import re
import shlex
import socket
from pathlib import Path

import click

# Certificates of longer life are refused by some TLS libraries.
_DAYS = 397


def _client_names(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
            raise click.BadParameter(f"{name!r} is not 1 to 63 letters, digits, dots, dashes and underscores.")
    return names


@click.command("tls-init")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name or address that clients reach the server by, besides localhost and this machine's name; several times.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    callback=_client_names,
    help="Make a certificate for a client too, for mutual TLS; several times.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How long the certificates of server and clients are valid.",
)
def command(directory: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int) -> None:
    """Make a certificate authority in DIR, and certificates by it for a server and for clients.

    They are for trials and small private networks; others have an authority already. What is there is used and never
    overwritten, so that the command can be repeated to add a client. Keys can be read by their owner only.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise click.ClickException("Certificates are made by the server's extra: pip install 'holdfast[server]'.")
    from holdfast.cli.server.authority import Authority, AuthorityError, parse_hosts

    directory = directory.expanduser().absolute()
    try:
        parse_hosts(hosts)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise click.ClickException(f"The directory {directory} cannot be made: {error.strerror}.") from error
    try:
        authority, made = Authority.open(directory)
        # Without --host, a repetition that adds a client leaves the server's as it is.
        if hosts or not (directory / "server.crt").exists():
            made += authority.certify_server(directory, (*_own_names(), *hosts), days)
        for client in clients:
            made += authority.certify_client(directory, client, days)
    except AuthorityError as error:
        raise click.ClickException(str(error)) from None
    named = next((host for host in hosts if "*" not in host), "localhost")
    _report(directory, made, named, clients)


def _own_names() -> list[str]:
    own = socket.gethostname()
    named = [own] if re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", own) else []
    return ["localhost", "127.0.0.1", "::1", *named]


def _report(directory: Path, made: list[Path], host: str, clients: tuple[str, ...]) -> None:
    if not made:
        click.echo(f"Everything is in {directory} already. --client NAME adds a client.")
        return
    click.echo(f"Made in {directory}: {', '.join(path.name for path in made)}.")
    path = {name: shlex.quote(str(directory / name)) for name in ("ca.crt", "server.crt", "server.key")}
    mutual = f" --tls-client-ca {path['ca.crt']}" if clients else ""
    click.echo("\nStart the server:")
    click.echo(f"  holdfast server --tls-cert {path['server.crt']} --tls-key {path['server.key']}{mutual}")
    click.echo("\nOn clients, with a copy of ca.crt (never of ca.key):")
    click.echo(f"  export HOLDFAST_URI=holdfast+tls://{f'[{host}]' if ':' in host else host}:5600")
    click.echo(f"  export HOLDFAST_TLS_CA_FILE={path['ca.crt']}")
    for client in clients:
        click.echo(f"  export HOLDFAST_TLS_CERT_FILE={shlex.quote(str(directory / f'client-{client}.crt'))}")
        click.echo(f"  export HOLDFAST_TLS_KEY_FILE={shlex.quote(str(directory / f'client-{client}.key'))}")
