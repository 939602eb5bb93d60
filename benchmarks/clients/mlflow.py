"""MLflow's own client against ``mlflow server`` with proxied artifacts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient

from benchmarks.clients.job import Job
from benchmarks.clients.latency import fresh_file


class Client:
    def __init__(self, job: Job) -> None:
        self._uri = f"http://{job.address}"
        self._client = MlflowClient(self._uri)
        self._run = self._client.create_run("0").info.run_id

    def upload(self, path: Path) -> str:
        if path.is_dir():
            self._client.log_artifacts(self._run, str(path), path.name)
        else:
            self._client.log_artifact(self._run, str(path))
        return f"{self._run}/{path.name}"

    def download(self, remote: str, target: Path) -> None:
        run, _, path = remote.partition("/")
        mlflow.artifacts.download_artifacts(
            run_id=run, artifact_path=path, dst_path=str(target), tracking_uri=self._uri
        )

    def calls(self, job: Job) -> dict[str, Callable[[], object]]:
        if job.operation == "small":
            return {"log_artifact": lambda: self._client.log_artifact(self._run, str(fresh_file(job)))}
        return {
            "log_batch": lambda: self._client.log_metric(self._run, "loss", 0.5),
            "get_run": lambda: self._client.get_run(self._run),
        }
