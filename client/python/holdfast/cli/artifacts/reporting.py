"""What a transfer did, in one line on standard error or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.sizes import count_text, rate_text, seconds_text, size_text

if TYPE_CHECKING:
    from holdfast._transfer.progress import TransferSummary


def report(done: str, summary: TransferSummary) -> None:
    """Say what was done; the rate is that of the whole, saved bytes included."""
    saved = f"; {size_text(summary.saved)} of it needed no sending" if summary.saved else ""
    click.echo(
        f"{done} {count_text(summary.files, 'file')}, {size_text(summary.bytes)}, in {seconds_text(summary.seconds)} "
        f"({rate_text(summary.bytes, summary.seconds)}){saved}.",
        err=True,
    )


def summary_json(summary: TransferSummary, moved: str) -> dict[str, Any]:
    """The figures of a transfer; ``moved`` is what to call the bytes that went over the network."""
    return {
        "files": summary.files,
        "bytes": summary.bytes,
        moved: summary.moved,
        "seconds": round(summary.seconds, 3),
    }
