"""``holdfast artifacts verify``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from holdfast.cli import FAILED, client_of
from holdfast.cli.artifacts.options import symlinks_option
from holdfast.cli.artifacts.uris import artifact_uri
from holdfast.cli.sizes import count_text, rate_text, seconds_text, size_text
from holdfast.errors import HoldfastError


class _CouldNotCheckError(click.ClickException):
    exit_code = 2


@click.command("verify")
@click.argument("uri", type=artifact_uri)
@click.option(
    "--local",
    type=click.Path(path_type=Path),
    help="Compare this local copy with URI by digests, in place of reading all of URI from the server.",
)
@symlinks_option(help="Which links of the local copy to follow, as for put.")
@click.option("-q", "--quiet", is_flag=True, help="Neither bar nor report: problems, and the exit code.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each problem, and one of totals at the end.")
@click.pass_context
def verify(ctx: click.Context, uri: str, *, local: Path | None, symlinks: str, quiet: bool, as_json: bool) -> None:
    """Read every byte of URI from the server and check it against its digest; go on after what is damaged.

    With --local, compare a local file or directory with URI instead. Problems are: damaged (the server cannot give the
    bytes, or others), missing (not in the local copy), extra (only there) and different (in bytes, kind or the
    executable bit). Links in the local copy stand for what they lead to, as they do for put; one that put refuses ends
    the comparison.

    Exit codes: 0 all is sound, 1 there are problems, 2 it could not be checked.
    """
    try:
        _verify(ctx, uri, local, symlinks, quiet=quiet, as_json=as_json)
    except BrokenPipeError:
        raise
    except (HoldfastError, OSError) as error:
        raise _CouldNotCheckError(" ".join(str(error).split())) from error


def _verify(ctx: click.Context, uri: str, local: Path | None, symlinks: str, *, quiet: bool, as_json: bool) -> None:
    from holdfast._transfer.progress import Progress

    problems = 0
    with client_of(ctx) as client, Progress("verifying", shown=False if quiet else None) as progress:
        artifacts = client.artifacts
        if local is None:
            checks = artifacts.verify(uri, progress)
        else:
            checks = artifacts.compare(uri, local, progress, symlinks=symlinks)
        for check in checks:
            if check.problem:
                problems += 1
                line = {"path": check.path, "problem": check.problem, "message": check.message}
                because = f": {check.message}" if check.message else ""
                click.echo(json.dumps(line) if as_json else f"{check.problem:<9}  {check.path}{because}")
    done = progress.summary
    if as_json:
        totals = {"uri": uri, "files": done.files, "bytes": done.bytes, "problems": problems}
        click.echo(json.dumps({**totals, "seconds": round(done.seconds, 3)}))
    elif not quiet:
        found = count_text(problems, "problem") if problems else "all sound"
        click.echo(
            f"Checked {count_text(done.files, 'file')}, {size_text(done.bytes)}, in {seconds_text(done.seconds)} "
            f"({rate_text(done.bytes, done.seconds)}): {found}.",
            err=True,
        )
    if problems:
        ctx.exit(FAILED)
