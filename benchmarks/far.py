"""Measures over a round trip of 50 ms: a proxy stands between client and server, a line of a stated rate each way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks import launch, servers
from benchmarks.clients.job import Job
from benchmarks.data import make_source
from benchmarks.rows import GIB, Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session

ROUND_TRIP = 0.05
SMALL_SECONDS = 3.0
PEERS = {"far-small": ("holdfast", "bare", "mlflow"), "far-up": ("holdfast", "bare"), "far-down": ("holdfast", "bare")}


def measure_far(session: Session, store: Store, *, row: str) -> Iterator[Sample]:
    """One small file at a time, or a large one, through the proxy; the bare stream shows what the line gives."""
    peers = [peer for peer in PEERS[row] if peer in session.peers]
    size = max(1, round(GIB * session.scale))
    source = make_source(session.fresh("source"), files=1, size=size, seed=session.seed)
    for repetition in range(session.repeat):
        for peer in session.random.sample(peers, len(peers)):
            with ExitStack() as stack:
                server = stack.enter_context(session.serving(peer, store))
                proxy = stack.enter_context(
                    servers.delaying_proxy(
                        session.fresh("proxy"), server.address, delay=ROUND_TRIP / 2, rate=session.link_mbit * 125_000
                    )
                )
                job = _job(session, row, peer, source, proxy=proxy, server=server)
                (result,), figures = session.measure([job], server)
                session.tidy(server, store)
            if row == "far-small":
                figures = dict(result.figures)
            else:
                figures = {**figures, "bytes": size, "files": 1}
            yield Sample(row=row, store=store, peer=peer, repetition=repetition, figures=figures)
    session.discard(source)


def _job(session: Session, row: str, peer: str, source: Path, *, proxy: Server, server: Server) -> Job:
    target = session.fresh("target")
    target.mkdir()
    if row == "far-small":
        return Job(peer=peer, operation="small", address=proxy.address, target=str(target), seconds=SMALL_SECONDS)
    if row == "far-up":
        return Job(peer=peer, operation="up", address=proxy.address, sources=(str(source),))
    near = Job(peer=peer, operation="up", address=server.address, sources=(str(source),))
    remote = launch.run([near], server.credentials)[0].remote
    return Job(peer=peer, operation="down", address=proxy.address, sources=(remote,), target=str(target))
