"""``holdfast artifacts tail``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.artifacts.uris import artifact_uri
from holdfast.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from holdfast._channel import Channel

# Between looks for a file that is not there yet.
WAIT_SECONDS = 0.5


@click.command("tail")
@click.argument("uri", type=artifact_uri)
@click.option("-f", "--follow", is_flag=True, help="Go on while the file is being written, until it is closed.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Print so many lines.",
)
@click.option("-c", "--bytes", "count", type=click.IntRange(min=0), help="Print so many bytes instead.")
@click.option("-a", "--all", "whole", is_flag=True, help="Print all of it.")
@click.option("--wait", is_flag=True, help="Wait until the file is there, or begins to be written.")
@click.pass_context
def tail(ctx: click.Context, uri: str, *, follow: bool, lines: int, count: int | None, whole: bool, wait: bool) -> None:
    """Print the end of the file URI, such as runs:/<run_id>/logs/train.log, also while it is being written."""
    from holdfast._transfer.tailing import Tail, start_of_lines

    with client_of(ctx) as client:
        while wait and not _is_there(client.channel, uri):
            time.sleep(WAIT_SECONDS)
        if whole:
            offset = 0
        elif count is None:
            offset = start_of_lines(client.channel, uri, lines)
        else:
            offset = -count if count else start_of_lines(client.channel, uri, 0)
        while True:
            try:
                _print(Tail(client.channel, uri, offset, follow=follow).chunks())
                return
            except ConflictError as error:
                if not follow:
                    raise
                # As tail does with a file that is truncated.
                click.echo(f"{error.message} Going on there.", err=True)
                offset = 0


def _is_there(channel: Channel, uri: str) -> bool:
    from holdfast._transfer.tailing import start_of_lines

    try:
        start_of_lines(channel, uri, 0)
    except NotFoundError as error:
        if error.reason != "FILE_NOT_FOUND":
            raise
        return False
    return True


def _print(chunks: Iterator[bytes]) -> None:
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
