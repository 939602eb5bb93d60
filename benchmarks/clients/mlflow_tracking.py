"""MLflow's own client against ``mlflow server``, for what is measured of tracking."""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils

from benchmarks.clients import mlflow
from benchmarks.clients.job import Job
from benchmarks.clients.run_calls import RunCalls
from benchmarks.clients.tracking import PAGE, measure_tracking


class Client(RunCalls, mlflow.Client):
    metric_type = Metric
    no_answer: type[Exception] = MlflowException

    def __init__(self, job: Job) -> None:
        # It waits 120 s for an answer, and would then ask seven times more.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        super().__init__(job)
        self._job = job
        self._model = ""

    def measure(self, job: Job) -> dict[str, float]:
        return measure_tracking(self, job)

    def another(self) -> Client:
        return Client(self._job)

    def page(self, filter_: str, order_by: list[str], number: int) -> Callable[[], int]:
        # Its tokens are offsets.
        token = SearchUtils.create_page_token(number * PAGE) if number else None
        return lambda: len(
            self._client.search_runs(["0"], filter_, max_results=PAGE, order_by=order_by, page_token=token)
        )

    def chart(self, run_id: str) -> int:
        """As its own user interface asks for it."""
        query = urllib.parse.urlencode({"run_ids": run_id, "metric_key": "long", "max_results": 1_000})
        url = f"{self._uri}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{query}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=600) as answer:
            found: dict[str, Any] = json.load(answer)
        return len(found["metrics"])

    def register(self) -> None:
        client: MlflowClient = self._client
        if not self._model:
            self._model = client.create_registered_model(f"bench-{self._run}").name
        version = client.create_model_version(self._model, f"runs:/{self._run}/model", run_id=self._run)
        client.set_registered_model_alias(self._model, "prod", version.version)
