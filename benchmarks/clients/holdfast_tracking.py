"""Holdfast's own client, for what is measured of tracking."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.clients import holdfast
from benchmarks.clients.job import Job
from benchmarks.clients.run_calls import RunCalls
from benchmarks.clients.tracking import PAGE, measure_tracking
from holdfast.entities import Metric
from holdfast.errors import UnavailableError


class Client(RunCalls, holdfast.Client):
    metric_type = Metric
    no_answer: type[Exception] = UnavailableError

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._job = job
        self._source = ""

    def measure(self, job: Job) -> dict[str, float]:
        return measure_tracking(self, job)

    def another(self) -> Client:
        return Client(self._job)

    def page(self, filter_: str, order_by: list[str], number: int) -> Callable[[], int]:
        token = None
        for _ in range(number):
            found = self._client.search_runs(["0"], filter_, max_results=PAGE, order_by=order_by, page_token=token)
            token = found.token
            if not token:  # there are not so many pages
                return lambda: 0
        return lambda: len(
            self._client.search_runs(["0"], filter_, max_results=PAGE, order_by=order_by, page_token=token)
        )

    def chart(self, run_id: str) -> int:
        return len(self._client.get_metric_chart(run_id, "long"))

    def register(self) -> None:
        if not self._source:
            self._client.log_bytes(self._run, b"x", "model/a")
            self._source = f"runs:/{self._run}/model"
        self._client.create_model_version(
            f"bench-{self._run}", self._source, create_registered_model=True, aliases="prod"
        )
