"""``holdfast doctor``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import click

from holdfast.cli.doctor.findings import Finding, Status, failure
from holdfast.cli.json_output import json_text
from holdfast.cli.options import json_option
from holdfast.cli.tables import printable
from holdfast.errors import HoldfastError

_COLORS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILURE: "red", Status.SKIPPED: "bright_black"}


@click.command("doctor")
@json_option("One JSON object: whether all is well, and a list of checks.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Check this machine, the server and what is between, and say what to do.

    Looks at versions, directories and their permissions, what waits to be sent, the server's certificate, whether the
    server answers, the token, clocks, and whether the server can write its database and store. Changes nothing.
    Exits with 1 when something does not work; warnings do not count.
    """
    findings = []
    for finding in _check(ctx.find_root().obj):
        findings.append(finding)
        if not as_json:
            click.echo("\n".join(_lines(finding)))
    failed = any(finding.status is Status.FAILURE for finding in findings)
    if as_json:
        click.echo(json_text({"ok": not failed, "checks": [dataclasses.asdict(finding) for finding in findings]}))
    ctx.exit(1 if failed else 0)


def _check(uri: str | None) -> Iterator[Finding]:
    from holdfast._config import parse_target
    from holdfast.cli.doctor.machine import check_machine
    from holdfast.cli.doctor.server import check_server

    try:
        target = parse_target(uri)
    except HoldfastError as error:
        yield failure("address", str(error), "Name the server by --uri or HOLDFAST_URI.")
        return
    yield from check_machine(target)
    yield from check_server(target)


def _lines(finding: Finding) -> Iterator[str]:
    status = click.style(f"{finding.status.value:<8}", fg=_COLORS[finding.status])
    yield f"{status} {finding.check}: {printable(' '.join(finding.message.split()))}"
    if finding.advice:
        yield f"         → {printable(finding.advice)}"
