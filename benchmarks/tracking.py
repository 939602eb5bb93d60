"""Measures ``log_metric`` calls in a loop, durable after ``flush``."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import servers
from benchmarks.markdown import spread, table
from benchmarks.rows import Store
from benchmarks.session import Sample, Session

CALLS = 300_000
# MLflow does some tens in a second.
FEWER = {"mlflow": 500}
PEERS = ("holdfast", "mlflow")
LEAST_RATE = 75_000


def measure_log_metric(session: Session, store: Store) -> Iterator[Sample]:
    """One process that logs points of one metric by the fluent function, as fast as it can."""
    peers = [peer for peer in PEERS if peer in session.peers]
    for repetition in range(session.repeat):
        for peer in session.random.sample(peers, len(peers)):
            calls = max(100, round(FEWER.get(peer, CALLS) * session.scale))
            with session.serving(peer, store) as server:
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.clients.log_metric", peer, server.address, str(calls)],
                    env=servers.environment(),
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                session.tidy(server, store)
            figures = json.loads(done.stdout.splitlines()[-1])
            yield Sample(row="log-metric", store=store, peer=peer, repetition=repetition, figures=figures)


def metric_lines(samples: Sequence[dict[str, Any]]) -> list[str]:
    """The table of these measurements."""
    rates = {
        (peer, figure): [each["figures"]["calls"] / each["figures"][figure] for each in samples if each["peer"] == peer]
        for peer in PEERS
        for figure in ("returned_seconds", "seconds")
    }
    lines = []
    for peer in PEERS:
        theirs = rates[peer, "seconds"]
        if not theirs:
            continue
        if peer == "holdfast":
            target = f"{LEAST_RATE:,}/s", "met" if statistics.median(theirs) >= LEAST_RATE else "missed"
        else:
            ours = rates["holdfast", "seconds"]
            target = (f"Holdfast {statistics.median(ours) / statistics.median(theirs):,.0f}×" if ours else "", "")
        lines.append([peer, spread(rates[peer, "returned_seconds"]), spread(theirs), *target])
    return table(
        ["`log_metric` in a loop", "calls/s until they returned", "the same, durable by `flush`", "at least", ""], lines
    )
