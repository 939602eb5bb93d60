"""``holdfast artifacts get`` and ``cat``."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.cli import FAILED, client_of
from holdfast.cli.artifacts.reporting import report, summary_json
from holdfast.cli.artifacts.uris import artifact_uri
from holdfast.errors import HoldfastError

# Read and written at once; a multiple of 3, so that pieces of base64 need no padding.
PIECE = 768 << 10


@click.command("get")
@click.argument("uri", type=artifact_uri)
@click.argument("destination", type=click.Path(file_okay=False), default=".")
@click.option("-q", "--quiet", is_flag=True, help="Neither bar nor report.")
@click.option("--json", "as_json", is_flag=True, help="Print path and report as one JSON object.")
@click.pass_context
def get(ctx: click.Context, uri: str, destination: str, *, quiet: bool, as_json: bool) -> None:
    """Fetch URI, a file or directory, into the directory DESTINATION, here without one, and print where it is.

    Files that are there are replaced, others stay. Each appears under its name only when it is whole and verified.
    """
    from holdfast._transfer.progress import Progress

    progress = Progress("fetching", shown=False if quiet else None)
    with client_of(ctx) as client:
        path = client.artifacts.download(uri, Path(destination), progress=progress)
    summary = progress.summary
    if as_json:
        click.echo(json.dumps({"uri": uri, "path": str(path), **summary_json(summary, "received_bytes")}))
        return
    click.echo(path)
    if not quiet:
        report("Fetched", summary)


def _range(text: str) -> tuple[int, int | None]:
    """Offset and length of ``OFFSET:LENGTH``; None for a length that is not given."""
    found = re.fullmatch(r"(-?[0-9]+):([0-9]*)", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no range: write OFFSET:LENGTH, such as 0:100, or -100: for the end.")
    return int(found[1]), int(found[2]) if found[2] else None


@click.command("cat")
@click.argument("uris", metavar="URI...", nargs=-1, required=True, type=artifact_uri)
@click.option(
    "--range",
    "part",
    type=_range,
    metavar="OFFSET:LENGTH",
    default="0:",
    help="Only these bytes of each file. A negative OFFSET counts from the end; no LENGTH means the rest.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="JSON objects of uri, offset and base64, of at most 768 KiB each."
)
@click.pass_context
def cat(ctx: click.Context, uris: tuple[str, ...], *, part: tuple[int, int | None], as_json: bool) -> None:
    """Print the files URI as they are, one after another; only what is printed is fetched, and each block is verified.

    A file that cannot be read is told on standard error; the others are printed, and the exit code is 1.
    """
    failed = False
    with client_of(ctx) as client:
        for uri in uris:
            try:
                with client.artifacts.open(uri) as reader:
                    for offset, piece in _pieces(reader, *part):
                        print_piece(uri, offset, piece, as_json=as_json)
            except HoldfastError as error:
                failed = True
                sys.stdout.flush()
                click.echo(f"Error: {' '.join(error.message.split())}", err=True)
    if failed:
        ctx.exit(FAILED)


def _pieces(reader: io.BufferedReader, offset: int, length: int | None) -> Iterator[tuple[int, bytes]]:
    """The bytes of a range with their offsets, in bounded memory."""
    if offset < 0:
        offset = max(reader.seek(0, io.SEEK_END) + offset, 0)
    reader.seek(offset)
    left = length
    while left is None or left > 0:
        data = reader.read(PIECE if left is None else min(PIECE, left))
        if not data:
            return
        yield offset, data
        offset += len(data)
        left = None if left is None else left - len(data)


def print_piece(uri: str, offset: int, data: bytes, *, as_json: bool) -> None:
    """Print bytes of a file as they are, or as an object that says where they are."""
    if as_json:
        click.echo(json.dumps({"uri": uri, "offset": offset, "base64": base64.b64encode(data).decode()}))
    else:
        sys.stdout.buffer.write(data)
