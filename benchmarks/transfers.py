"""Measures the rows that move files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import launch, servers
from benchmarks.clients.job import Job
from benchmarks.data import fingerprint, make_source
from benchmarks.rows import THREADED, Row, Store
from benchmarks.servers import Server
from benchmarks.session import Sample, Session


class WrongContentError(Exception):
    """What came back is not what was uploaded."""


def measure_row(row: Row, session: Session, store: Store) -> Iterator[Sample]:
    """Every peer in turn, in random order, ``session.repeat`` times."""
    peers = [peer for peer in row.peers[store] if peer in session.peers]
    sources = {peer: _sources(session, row, row.fewer.get(peer, 1)) for peer in peers if peer in row.fewer}
    everyone = _sources(session, row, 1)
    with ExitStack() as stack:
        contenders = [Contender(session, row, store, peer, sources.get(peer, everyone)) for peer in peers]
        if row.direction == "down":
            for contender in contenders:
                stack.enter_context(contender.offering())
        for repetition in range(session.repeat):
            for contender in session.random.sample(contenders, len(contenders)):
                figures = contender.measure(verify=repetition == 0)
                yield Sample(row=row.name, store=store, peer=contender.peer, repetition=repetition, figures=figures)
    for path in {*everyone, *(path for paths in sources.values() for path in paths)}:
        session.discard(path)


class Contender:
    """A peer on one row. Downloads have one server for all repetitions, uploads a fresh one for each."""

    def __init__(self, session: Session, row: Row, store: Store, peer: str, sources: Sequence[Path]) -> None:
        self.peer = peer
        self._session, self._row, self._store, self._sources = session, row, store, sources
        self._size = sum(_size(source) for source in sources)
        self._expected = fingerprint(sources[0]) if row.direction == "down" else ""

    @contextmanager
    def offering(self) -> Iterator[None]:
        """Have a server that has what is to be downloaded."""
        with self._serving() as self._server:
            self._remote = self._upload_unmeasured(self._server)
            yield

    def measure(self, *, verify: bool) -> dict[str, float]:
        """One measurement; downloads are always verified, uploads when asked to, by a download that is not measured."""
        if self._row.direction == "down":
            figures = self._measure_download()
        else:
            with self._serving() as server:
                figures = self._measure_upload(server, verify=verify)
        return {**figures, "bytes": self._size, "files": sum(_count(source) for source in self._sources)}

    def _measure_upload(self, server: Server, *, verify: bool) -> dict[str, float]:
        if self._row.direction == "again":
            self._upload_unmeasured(server)
        paths = tuple(map(str, self._sources))
        together = [paths] if self.peer in THREADED else [(path,) for path in paths]
        jobs = [Job(peer=self.peer, operation="up", address=server.address, sources=each) for each in together]
        results, figures = self._session.measure(jobs, server)
        if verify and server.pid:
            self._verify(server, results[-1].remote, fingerprint(self._sources[-1]))
        if self._row.direction == "again" and self.peer == "holdfast":
            figures["sent"] = self._count_sent(server)
        return figures

    def _measure_download(self) -> dict[str, float]:
        job = self._download(self._server, self._remote)
        _, figures = self._session.measure([job], self._server)
        self._compare(Path(job.target), self._expected)
        return figures

    def _verify(self, server: Server, remote: str, expected: str) -> None:
        """That what was measured is there: an upload that lost something would look fast."""
        job = self._download(server, remote)
        launch.run([job], server.credentials)
        self._compare(Path(job.target), expected)

    def _download(self, server: Server, remote: str) -> Job:
        target = self._session.fresh("target")
        target.mkdir()
        return Job(peer=self.peer, operation="down", address=server.address, sources=(remote,), target=str(target))

    def _compare(self, target: Path, expected: str) -> None:
        if fingerprint(_downloaded(target, self._row)) != expected:
            raise WrongContentError(f"{self.peer} returned something else for {self._row.name}")
        self._session.discard(target)

    def _upload_unmeasured(self, server: Server) -> str:
        job = Job(peer=self.peer, operation="up", address=server.address, sources=(str(self._sources[0]),))
        return launch.run([job], server.credentials)[0].remote

    def _count_sent(self, server: Server) -> float:
        """Bytes that the client sends when all is there already, with what connecting and warming up takes."""
        with servers.delaying_proxy(self._session.fresh("proxy"), server.address, delay=0) as proxy:
            job = Job(peer=self.peer, operation="up", address=proxy.address, sources=(str(self._sources[0]),))
            launch.run([job], server.credentials)
            return servers.forwarded(proxy)

    @contextmanager
    def _serving(self) -> Iterator[Server]:
        with self._session.serving(self.peer, self._store) as server:
            yield server
            self._session.tidy(server, self._store)


def _sources(session: Session, row: Row, share: float) -> list[Path]:
    size = max(1, round(row.size * session.scale)) if not row.small else row.size
    files = max(2, round(row.files * session.scale * share)) if row.small else 1
    return [make_source(session.fresh("source"), files=files, size=size, seed=session.seed) for _ in range(row.workers)]


def _downloaded(target: Path, row: Row) -> Path:
    """The file or directory that a client wrote below ``target``, whatever it called it."""
    if row.small:
        while len(entries := list(target.iterdir())) == 1 and not (target / "part-000").exists():
            target = entries[0]
        return target
    return next(path for path in target.rglob("*") if path.is_file())


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _count(path: Path) -> int:
    return len(_files(path))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
