"""Holdfast's own client."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import holdfast
from benchmarks.clients.job import Job
from benchmarks.clients.latency import fresh_file
from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as messages
from holdfast.v1.run_service_pb2_grpc import RunServiceStub


class Client:
    def __init__(self, job: Job) -> None:
        self._client = holdfast.Client(f"holdfast://{job.address}")
        self._run = self._client.create_run("0").info.run_id

    def upload(self, path: Path) -> str:
        if path.is_dir():
            self._client.log_artifacts(self._run, path, path.name)
        else:
            self._client.log_artifact(self._run, path)
        return f"runs:/{self._run}/{path.name}"

    def download(self, remote: str, target: Path) -> None:
        self._client.download_artifacts(artifact_uri=remote, dst_path=target)

    def calls(self, job: Job) -> dict[str, Callable[[], object]]:
        if job.operation == "small":
            return {"log_artifact": lambda: self._client.log_artifact(self._run, fresh_file(job))}
        return {"log_batch": self._log_batch, "get_run": lambda: self._client.get_run(self._run)}

    def _log_batch(self) -> None:
        """The call itself: ``log_metric`` may queue."""
        metric = run_pb2.Metric(key="loss", value=0.5)
        request = messages.LogBatchRequest(run_id=self._run, metrics=[metric], request_id=uuid.uuid4().hex)
        self._client.channel.stub(RunServiceStub).LogBatch(request, timeout=60)
