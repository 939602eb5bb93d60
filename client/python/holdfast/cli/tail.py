"""``holdfast artifacts tail``."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from holdfast.cli import client_of
from holdfast.cli.artifacts.fetching import print_piece
from holdfast.cli.artifacts.uris import artifact_uri
from holdfast.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from holdfast._channel import Channel
    from holdfast._transfer.tailing import Tail
    from holdfast.v1.live_artifact_service_pb2 import TailEnd

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
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="JSON objects of uri, offset and base64, of at most 1 MiB each, and one of uri, state, size and digest after "
    "the last: CLOSED, OPEN while the file is being written, or REPLACED before those of the file begun anew.",
)
@click.pass_context
def tail(
    ctx: click.Context,
    uri: str,
    *,
    follow: bool,
    lines: int,
    count: int | None,
    whole: bool,
    wait: bool,
    as_json: bool,
) -> None:
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
            found = Tail(client.channel, uri, offset, follow=follow)
            try:
                _print(found, uri, as_json=as_json)
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


def _print(found: Tail, uri: str, *, as_json: bool) -> None:
    try:
        for piece in found.chunks():
            print_piece(uri, (found.position or 0) - len(piece), piece, as_json=as_json)
            sys.stdout.flush()
    finally:
        if as_json and found.end is not None:
            _print_end(uri, found.end)


def _print_end(uri: str, end: TailEnd) -> None:
    from holdfast.v1.live_artifact_pb2 import LiveState

    state = LiveState.Name(end.state).removeprefix("LIVE_STATE_")
    click.echo(json.dumps({"uri": uri, "state": state, "size": end.size, "digest": end.digest.hex() or None}))
