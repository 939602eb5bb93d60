"""Measures tracking and registry beside ``mlflow server`` on SQLite: logging, runs, searches, charts, registering."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

from benchmarks import launch, servers
from benchmarks.clients.job import Job
from benchmarks.large_database import LONG_RUN, POINTS, RUNS, fill_holdfast, fill_long_metric, fill_mlflow
from benchmarks.rows import Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session
from holdfast_server.storage.sql.connection import connect

PEERS = ("holdfast", "mlflow")
SECONDS = 10.0
# Fewer have no hundred for each search.
LEAST_RUNS = 10_000
# Of MLflow, whose import takes seconds.
IMPORTS = {"holdfast": 15, "mlflow": 1}


def measure_tracking(session: Session, store: Store, *, kind: str) -> Iterator[Sample]:
    """Peers in turn, each on a server of its own that has nothing but what is measured."""
    peers = [peer for peer in PEERS if peer in session.peers]
    runs, points = max(LEAST_RUNS, round(RUNS * session.scale)), max(10_000, round(POINTS * session.scale))
    start = {"holdfast": servers.holdfast_server, "mlflow": servers.mlflow_server}
    with ExitStack() as stack:
        running = {peer: stack.enter_context(start[peer](session.fresh(peer))) for peer in peers}
        for peer, server in running.items():
            _fill(peer, server, kind, runs=runs, points=points)
        for repetition in range(session.repeat):
            for peer in session.random.sample(peers, len(peers)):
                job = Job(
                    peer=f"{peer}_tracking",
                    operation="tracking",
                    address=running[peer].address,
                    sources=(kind, LONG_RUN) if kind == "chart" else (kind,),
                    seconds=max(0.5, SECONDS * session.scale),
                )
                figures = launch.run([job], {})[0].figures
                yield Sample(row=kind, store=store, peer=peer, repetition=repetition, figures=figures)


def measure_import(session: Session, store: Store) -> Iterator[Sample]:
    """What importing the package adds to the start of an interpreter."""
    peers = [peer for peer in PEERS if peer in session.peers]
    for repetition in range(session.repeat):
        for peer in session.random.sample(peers, len(peers)):
            added = [
                _start(f"import {peer}") - _start("pass") for _ in range(max(1, round(IMPORTS[peer] * session.scale)))
            ]
            figures = {"import_p50": statistics.median(added)}
            yield Sample(row="import", store=store, peer=peer, repetition=repetition, figures=figures)


def _start(code: str) -> float:
    """Milliseconds that an interpreter takes which does nothing else."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=servers.environment())
    return (time.perf_counter() - begin) * 1000


def _fill(peer: str, server: Server, kind: str, *, runs: int, points: int) -> None:
    if kind not in ("search", "chart"):
        return
    if peer == "mlflow":
        fill_mlflow(server.directory / "mlflow.db", runs if kind == "search" else 0, points if kind == "chart" else 0)
        return
    if kind == "chart":
        fill_long_metric(server.address, points)
        return
    with closing(connect(server.directory / "data" / "holdfast.db")) as connection:
        fill_holdfast(connection, runs)


MEASUREMENTS: dict[str, Callable[[Session, Store], Iterator[Sample]]] = {
    **{kind: partial(measure_tracking, kind=kind) for kind in ("log-batch", "runs", "search", "chart", "register")},
    "import": measure_import,
}
