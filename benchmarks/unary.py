"""Measures how long small calls take, on an idle server and while sixteen uploads run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import launch
from benchmarks.clients.job import Job
from benchmarks.data import make_source
from benchmarks.rows import MIB, THREADED, Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session

UPLOADS = 16
UPLOAD_SIZE = 128 * MIB
IDLE_SECONDS = 5.0
# No upload lasts longer; the caller is told to stop when the last has ended.
LOADED_SECONDS = 600.0
PEERS: dict[Store, tuple[str, ...]] = {"local": ("holdfast", "bare", "mlflow"), "minio": ("holdfast",)}


def measure_unary(session: Session, store: Store, *, threads: bool) -> Iterator[Sample]:
    """Calls of a process of their own; the uploads are sixteen processes, or as many threads of one."""
    peers = [peer for peer in PEERS[store] if peer in session.peers]
    size = max(1, round(UPLOAD_SIZE * session.scale))
    sources = [make_source(session.fresh("source"), files=1, size=size, seed=session.seed) for _ in range(UPLOADS)]
    for repetition in range(session.repeat):
        for peer in session.random.sample(peers, len(peers)):
            with session.serving(peer, store) as server:
                figures = _measure(peer, server, sources, threads=threads or peer in THREADED, scale=session.scale)
                session.tidy(server, store)
            row = "unary-threads" if threads else "unary"
            yield Sample(row=row, store=store, peer=peer, repetition=repetition, figures=figures)
    for source in sources:
        session.discard(source)


def _measure(peer: str, server: Server, sources: Sequence[Path], *, threads: bool, scale: float) -> dict[str, float]:
    paths = tuple(map(str, sources))
    uploads = [
        Job(peer=peer, operation="up", address=server.address, sources=each)
        for each in ([paths] if threads else [(path,) for path in paths])
    ]
    idle = Job(peer=peer, operation="latency", address=server.address, seconds=max(1.0, IDLE_SECONDS * scale))
    loaded = Job(peer=peer, operation="latency", address=server.address, seconds=LOADED_SECONDS)
    figures = {f"idle_{name}": value for name, value in launch.run([idle], {})[0].figures.items()}
    with ExitStack() as stack:
        uploaders = stack.enter_context(launch.prepared(uploads, server.credentials))
        (caller,) = stack.enter_context(launch.prepared([loaded], {}))
        for client in [caller, *uploaders]:
            client.begin()
        results = [client.result() for client in uploaders]
        caller.stop()
        found = caller.result().figures
    seconds = max(result.end for result in results) - min(result.start for result in results)
    return {
        **figures,
        **{f"loaded_{name}": value for name, value in found.items()},
        "seconds": seconds,
        "bytes": sum(path.stat().st_size for path in sources),
    }
