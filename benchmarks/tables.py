"""Renders samples as Markdown tables."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.languages import language_lines
from benchmarks.markdown import spread, table
from benchmarks.models import model_lines
from benchmarks.restart import restart_lines
from benchmarks.rows import GIB, MIB, ROWS, STORES, THREADED, Row
from benchmarks.serving import serving_lines
from benchmarks.tracking import metric_lines
from benchmarks.tracking_tables import tracking_lines

LABELS = {
    "holdfast": "Holdfast",
    "bare": "bare stream",
    "mlflow": "MLflow",
    "mlflow_defaults": "MLflow by its defaults",
    "minio": "minio-py direct",
    "sha256": "one thread's SHA-256",
}
# The calls of benchmarks.clients.*.calls.
CALLS = ("log_batch", "get_run", "echo")
MAX_P50, MAX_P99 = 5, 250
# MiB: of a client, what it needs beyond what it has when connected; of a server, its peak with all it is made of.
MAX_CLIENT, MAX_SERVER, MAX_STREAM = 96, 128, 16
THREADS = "16 threads of one process"
ROUND_TRIP_MS = 50
# Of what the bare stream reaches over the same line.
LEAST_FAR = 0.95
# What each client sends before it is measured.
WARM_UP = 256 << 10
STORE_LABELS = {"local": "local blocks", "minio": "MinIO"}

Samples = list[dict[str, Any]]


def render(results: dict[str, Any]) -> str:
    """All tables that there are samples for."""
    samples: Samples = results["samples"]
    sections = [
        ("Transfers", _rates(samples)),
        ("CPU and memory", _resources(samples)),
        ("Clients of other languages", language_lines([sample for sample in samples if sample["row"] == "languages"])),
        ("Sent again", _sent(samples)),
        ("Small calls while sixteen uploads run", _latencies(samples)),
        (f"Over a round trip of {ROUND_TRIP_MS} ms{_link(results)}", _far(samples)),
        ("Tracking and registry", tracking_lines(samples)),
        ("Logging and loading a model", model_lines(samples)),
        ("Serving a model", serving_lines(samples)),
        ("Restart", restart_lines([sample for sample in samples if sample["row"] == "restart"])),
        ("Metrics", metric_lines([sample for sample in samples if sample["row"] == "log-metric"])),
    ]
    return "\n".join("\n".join([f"### {title}", "", *lines, ""]) for title, lines in sections if len(lines) > 2)


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
                    verdicts = _memory_verdicts(row, theirs) if peer == "holdfast" else ["", ""]
                    lines.append([place, LABELS[peer], *_used(theirs, store), *verdicts])
    return table(
        ["", "", "client CPU-s/GiB", "server CPU-s/GiB", "MinIO CPU-s/GiB", "client MiB above", "server MiB peak",
         f"client < {MAX_CLIENT}", f"server < {MAX_SERVER} + {MAX_STREAM} a stream"],
        lines,
    )  # fmt: skip


def _memory_verdicts(row: Row, samples: Samples) -> list[str]:
    """Whether the medians of client and server are below their targets."""
    client = statistics.median(sample["figures"]["client_above"] for sample in samples) / MIB
    server = statistics.median(sample["figures"]["server_peak"] for sample in samples) / MIB
    return [_met(client < MAX_CLIENT), _met(server < MAX_SERVER + MAX_STREAM * row.workers)]


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


def _sent(samples: Samples) -> list[str]:
    lines = []
    for store in STORES:
        sent = [s["figures"]["sent"] for s in _of(samples, "again-1g", store, "holdfast")]
        if sent:
            lines.append([STORE_LABELS[store], spread([value / 1024 for value in sent]) + " KiB"])
    return table(["", f"sent for an unchanged file, with connecting and a warm-up of {WARM_UP // 1024} KiB"], lines)


def _latencies(samples: Samples) -> list[str]:
    lines = []
    for row, how in (("unary", "16 processes"), ("unary-threads", THREADS)):
        for store in STORES:
            for peer, label in LABELS.items():
                found = [s["figures"] for s in _of(samples, row, store, peer)]
                for call in CALLS:
                    if found and f"idle_{call}_p50" in found[0]:
                        p50, p99 = ([f[f"loaded_{call}_{of}"] for f in found] for of in ("p50", "p99"))
                        met = statistics.median(p50) < MAX_P50 and statistics.median(p99) < MAX_P99
                        lines.append([
                            f"{THREADS if peer in THREADED else how}, {STORE_LABELS[store]}", label, call,
                            *(spread([f[f"idle_{call}_{of}"] for f in found], ".1f") for of in ("p50", "p99")),
                            spread(p50, ".1f"), spread(p99, ".1f"), _met(met) if peer == "holdfast" else "",
                            spread([f["bytes"] / MIB / f["seconds"] for f in found]),
                        ])  # fmt: skip
    return table(
        ["uploads", "", "call", "idle p50 ms", "p99", "loaded p50 ms", "p99", f"p50 < {MAX_P50}, p99 < {MAX_P99}",
         "uploads MiB/s"],
        lines,
    )  # fmt: skip


def _link(results: dict[str, Any]) -> str:
    mbit = results["options"].get("link")
    return f" and {mbit:g} Mbit/s each way" if mbit else ""


def _far(samples: Samples) -> list[str]:
    lines = []
    for row, title in (("far-small", "one small `log_artifact`"), ("far-up", "1 GiB up"), ("far-down", "1 GiB down")):
        for store in STORES:
            ours = [s["figures"] for s in _of(samples, row, store, "holdfast")]
            for peer, label in LABELS.items():
                found = [s["figures"] for s in _of(samples, row, store, peer)]
                if found and row == "far-small":
                    p50 = [f["log_artifact_p50"] for f in found]
                    trips = int(statistics.median(p50) / ROUND_TRIP_MS)
                    verdict = ["2 round trips", _met(trips <= 2)] if peer == "holdfast" else ["", ""]
                    what = f"{spread(p50, '.0f')} ms: {trips} round trips"
                    lines.append([f"{title}, {STORE_LABELS[store]}", label, what, "", *verdict])
                elif found:
                    rates = [f["bytes"] / MIB / f["seconds"] for f in found]
                    ratios = [f["seconds"] / o["seconds"] for f, o in zip(found, ours, strict=False)]
                    verdict = ["", "", ""]
                    if peer != "holdfast" and ratios:
                        verdict = [
                            spread(ratios, ".2f"),
                            f"{LEAST_FAR:g}",
                            _met(statistics.median(ratios) >= LEAST_FAR),
                        ]
                    lines.append([f"{title}, {STORE_LABELS[store]}", label, f"{spread(rates)} MiB/s", *verdict])
    return table(["", "", "median (least–most)", "Holdfast ÷ this", "at least", ""], lines)


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _of(samples: Samples, row: str, store: str, peer: str) -> Samples:
    return [s for s in samples if (s["row"], s["store"], s["peer"]) == (row, store, peer)]
