"""Measures logging a small estimator and loading it from a server, beside MLflow."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import servers
from benchmarks.markdown import spread, table
from benchmarks.rows import Store
from benchmarks.session import Sample, Session

ROWS = ("log-model", "load-model")
PEERS = ("holdfast", "mlflow")
SECONDS = 10.0
TREES = 100
# Which refuses to load any pickle otherwise.
SETTINGS = {"mlflow": {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        row: Where its figures come from.
        title: What it says.
        ours: Holdfast's figure, in milliseconds.
        theirs: MLflow's; empty where it has nothing like it.
        ratio: How many times less it is to be; 0: it does not matter.
        most: Milliseconds that are not to be exceeded; 0: any.
    """

    row: str
    title: str
    ours: str
    theirs: str = ""
    ratio: float = 0
    most: float = 0


LINES = (
    Line("log-model", "`log_model` of a decision tree with an example", "log_p50", "log_p50", ratio=50),
    Line("log-model", "the first one of a process", "log_first", "log_first"),
    Line("log-model", f"CPU time to infer the requirements of a forest of {TREES} trees", "inference_cpu", most=50),
    Line("load-model", "`load_model` of it", "load_p50", "load_p50", ratio=5),
    Line("load-model", "the same from the local cache; MLflow has none", "load_cached_p50", "load_p50", ratio=5),
    Line("load-model", "a new process that loads it", "process", "process"),
)  # fmt: skip


def measure_models(session: Session, store: Store, *, row: str) -> Iterator[Sample]:
    """One process of each peer in turn, that logs or loads the same model again and again."""
    peers = [peer for peer in PEERS if peer in session.peers]
    for repetition in range(session.repeat):
        for peer in session.random.sample(peers, len(peers)):
            with session.serving(peer, store) as server:
                done = subprocess.run(
                    [
                        sys.executable, "-m", "benchmarks.clients.models",
                        peer, server.address, row.removesuffix("-model"), str(SECONDS * session.scale), str(TREES),
                    ],
                    env=servers.environment(SETTINGS.get(peer)),
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )  # fmt: skip
                session.tidy(server, store)
            figures = json.loads(done.stdout.splitlines()[-1])
            yield Sample(row=row, store=store, peer=peer, repetition=repetition, figures=figures)


def model_lines(samples: Sequence[dict[str, Any]]) -> list[str]:
    """The table of these measurements."""
    lines = []
    for line in LINES:
        ours = _values(samples, line.row, "holdfast", line.ours)
        theirs = _values(samples, line.row, "mlflow", line.theirs)
        if not ours:
            continue
        median = statistics.median(ours)
        better = statistics.median(theirs) / median if theirs else 0
        wanted = f"{line.ratio:g}×" if line.ratio else f"under {line.most:g} ms" if line.most else ""
        judged = better >= line.ratio if line.ratio and theirs else median < line.most if line.most else None
        met = "" if judged is None else "met" if judged else "missed"
        ratio = f"{better:,.1f}" if theirs else ""
        lines.append([line.title, spread(ours, ",.1f"), spread(theirs) if theirs else "", ratio, wanted, met])
    return table(["", "Holdfast, ms", "MLflow, ms", "times better", "wanted", ""], lines)


def _values(samples: Sequence[dict[str, Any]], row: str, peer: str, figure: str) -> list[float]:
    found = [s["figures"] for s in samples if (s["row"], s["peer"]) == (row, peer)]
    return [float(figures[figure]) for figures in found if figure in figures]
