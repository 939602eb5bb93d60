"""Starts clients in processes of their own, lets them begin together, and collects what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.clients.job import Job, Result
from benchmarks.servers import ROOT, environment

# Proxied artifacts are those that pass through the server; by its defaults MLflow sends large files past it.
SETTINGS = {
    "mlflow": {
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    }
}


class ClientError(Exception):
    """A client ended before its answer; what it printed says why."""


@dataclass(frozen=True, slots=True)
class Client:
    """A process that has prepared and waits for a word."""

    job: Job
    process: subprocess.Popen[str]

    def begin(self) -> None:
        """Let it do what is measured."""
        self._write("go")

    def stop(self) -> None:
        """Let an operation that is repeated come to its end."""
        self._write("stop")

    def result(self) -> Result:
        """Wait for its answer."""
        return Result(**json.loads(self._line()))

    def wait_until_ready(self) -> None:
        assert self._line() == "ready\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ClientError(f"the client for {self.job} ended with {self.process.wait()}")
        return line

    def _write(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()


@contextmanager
def prepared(jobs: Sequence[Job], credentials: Mapping[str, str]) -> Iterator[list[Client]]:
    """A process for each job, all of them ready; what is left of them is killed at the end."""
    with ExitStack() as stack:
        clients = [Client(job, stack.enter_context(_process(job, credentials))) for job in jobs]
        for client in clients:
            client.wait_until_ready()
        yield clients


def run(jobs: Sequence[Job], credentials: Mapping[str, str]) -> list[Result]:
    """Do the jobs at the same time."""
    with prepared(jobs, credentials) as clients:
        for client in clients:
            client.begin()
        return [client.result() for client in clients]


@contextmanager
def _process(job: Job, credentials: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.clients", json.dumps(job.to_json())],
        cwd=ROOT,
        env=environment({**credentials, **SETTINGS.get(job.peer, {})}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
    finally:
        if process.poll() is None:
            process.kill()
