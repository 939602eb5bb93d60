"""Renders samples as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.rows import GIB, MIB, ROWS, STORES, Row

LABELS = {
    "holdfast": "Holdfast",
    "bare": "bare stream",
    "mlflow": "MLflow",
    "minio": "minio-py direct",
    "sha256": "one thread's SHA-256",
}
STORE_LABELS = {"local": "local blocks", "minio": "MinIO"}

Samples = list[dict[str, Any]]


def render(results: dict[str, Any]) -> str:
    """All tables that there are samples for."""
    samples: Samples = results["samples"]
    return "\n".join([*_rates(samples), "", *_resources(samples)])


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, its columns aligned for those who read it as text."""
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [row(header), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(row, lines)]


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """The median, and from least to most."""
    middle = f"{statistics.median(values):{form}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}}–{max(values):{form}})"


def _rates(samples: Samples) -> list[str]:
    lines = []
    for row in ROWS:
        for store in STORES:
            ours = _of(samples, row.name, store, "holdfast")
            for peer in row.peers[store]:
                theirs = _of(samples, row.name, store, peer)
                if not theirs:
                    continue
                place = f"{row.title}, {STORE_LABELS[store]}" if peer == "holdfast" else ""
                lines.append([place, LABELS[peer], _rate_text(theirs, row), *_verdict(row, store, peer, ours, theirs)])
    return table(["", "", "rate: median (least–most)", "Holdfast ÷ this", "at least", ""], lines)


def _verdict(row: Row, store: str, peer: str, ours: Samples, theirs: Samples) -> tuple[str, str, str]:
    """Ratio, target and whether it is met."""
    if peer == "holdfast":
        if not row.least_rate or store != "local":
            return "", "", ""
        met = statistics.median(_rate(sample, row) for sample in ours) >= row.least_rate
        return "", f"{row.least_rate:,.0f} files/s", "met" if met else "missed"
    if not ours:
        return "", "", ""
    ratios = [_rate(mine, row) / _rate(other, row) for mine, other in zip(ours, theirs, strict=False)]
    target = row.targets.get((store, peer))
    if target is None:
        return spread(ratios, ".2f"), "", ""
    return spread(ratios, ".2f"), f"{target:g}", "met" if statistics.median(ratios) >= target else "missed"


def _rate(sample: dict[str, Any], row: Row) -> float:
    figures = sample["figures"]
    return float(figures["files"] if row.small else figures["bytes"] / MIB) / float(figures["seconds"])


def _rate_text(samples: Samples, row: Row) -> str:
    return spread([_rate(sample, row) for sample in samples]) + (" files/s" if row.small else " MiB/s")


def _resources(samples: Samples) -> list[str]:
    lines = []
    for row in (row for row in ROWS if not row.small):
        for store in STORES:
            for peer in row.peers[store]:
                theirs = _of(samples, row.name, store, peer)
                if theirs:
                    place = f"{row.title}, {STORE_LABELS[store]}" if peer == "holdfast" else ""
                    lines.append([place, LABELS[peer], *_used(theirs, store)])
    return table(
        ["", "", "client CPU-s/GiB", "server CPU-s/GiB", "MinIO CPU-s/GiB", "client MiB above", "server MiB peak"],
        lines,
    )


def _used(samples: Samples, store: str) -> list[str]:
    figures = [sample["figures"] for sample in samples]
    each = {
        name: spread([f[name] / (f["bytes"] / GIB) for f in figures], ".2f")
        for name in ("client_cpu", "server_cpu", "store_cpu")
    }
    return [
        each["client_cpu"],
        each["server_cpu"],
        each["store_cpu"] if store == "minio" else "",
        spread([f["client_above"] / MIB for f in figures]),
        spread([f["server_peak"] / MIB for f in figures]),
    ]


def _of(samples: Samples, row: str, store: str, peer: str) -> Samples:
    return [s for s in samples if (s["row"], s["store"], s["peer"]) == (row, store, peer)]
