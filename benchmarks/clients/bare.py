"""The bare stream, which is its own client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.bare import BareClient
from benchmarks.clients.job import Job
from benchmarks.clients.latency import fresh_file


class Client:
    def __init__(self, job: Job) -> None:
        self._client = BareClient(job.address)

    def upload(self, path: Path) -> str:
        if path.is_dir():
            return f"{self._client.upload_files(path)}/"
        return self._client.upload(path)

    def download(self, remote: str, target: Path) -> None:
        if remote.endswith("/"):
            self._client.download_files(remote[:-1], target)
        else:
            self._client.download(remote, target / "file")

    def calls(self, job: Job) -> dict[str, Callable[[], object]]:
        if job.operation == "small":
            return {"log_artifact": lambda: self._client.upload(fresh_file(job))}
        return {"echo": lambda: self._client.echo(b"x" * 100)}
