"""Measures how long a server that was killed, or stopped, takes to serve again on a large database."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc

from benchmarks import processes, servers
from benchmarks.large_database import METRICS, RUNS, fill_holdfast
from benchmarks.markdown import spread, table
from benchmarks.rows import Store
from benchmarks.session import Sample, Session
from holdfast.v1 import run_service_pb2, run_service_pb2_grpc
from holdfast_server.storage.sql.connection import connect

LEAST_RUNS = 1_000
# Milliseconds in which a server is to answer after its process was begun.
MOST = 2_000
_TITLES = {
    "after_stop": "{runs:,.0f} runs with {metrics} metrics each, stopped by SIGTERM",
    "after_kill": "{runs:,.0f} runs with {metrics} metrics each, killed by SIGKILL",
    "empty": "an empty database",
}


def measure_restart(session: Session, store: Store) -> Iterator[Sample]:
    """From the start of the process to its first answer, with 100,000 runs of a million metrics together."""
    if "holdfast" not in session.peers:
        return
    runs, directory = max(LEAST_RUNS, round(RUNS * session.scale)), session.fresh("holdfast")
    with servers.holdfast_server(directory):
        pass
    with closing(connect(directory / "data" / "holdfast.db")) as connection:
        fill_holdfast(connection, runs)
    _start(directory)  # forgotten: it looks at the new rows for the first time
    empty = session.fresh("holdfast")
    _start(empty)
    for repetition in range(session.repeat):
        figures: dict[str, float] = {"runs": runs}
        figures["after_stop"], figures["after_stop_cpu"] = _start(directory, then_kill=True)
        figures["after_kill"], figures["after_kill_cpu"] = _start(directory)
        figures["empty"], figures["empty_cpu"] = _start(empty)
        yield Sample(row="restart", store=store, peer="holdfast", repetition=repetition, figures=figures)


def restart_lines(samples: Sequence[dict[str, Any]]) -> list[str]:
    """The table; only its header when nothing was measured."""
    lines = []
    for figure, title in _TITLES.items():
        values = [each["figures"][figure] for each in samples]
        if values:
            cpu = spread([each["figures"][f"{figure}_cpu"] for each in samples])
            verdict = "met" if max(values) < MOST else "missed"
            named = title.format(runs=samples[0]["figures"]["runs"], metrics=len(METRICS))
            lines.append([named, spread(values), cpu, f"{MOST:,} ms", verdict])
    return table(["restart until the newest ten runs were listed", "ms", "CPU ms", "at most", ""], lines)


def _start(directory: Path, *, then_kill: bool = False) -> tuple[float, float]:
    """Milliseconds until the server lists the newest runs, and of CPU that it takes until then."""
    begin = time.perf_counter()
    with servers.holdfast_server(directory) as server:
        with grpc.insecure_channel(server.address) as channel:
            request = run_service_pb2.SearchRunsRequest(experiment_ids=["0"], page_size=10)
            run_service_pb2_grpc.RunServiceStub(channel).SearchRuns(request)
        took = (time.perf_counter() - begin) * 1000
        cpu = processes.usage([server.pid]).cpu * 1000
        if then_kill:
            os.kill(server.pid, signal.SIGKILL)
    return took, cpu
