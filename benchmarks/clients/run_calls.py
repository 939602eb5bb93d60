"""What is called in the same way on Holdfast's client and on MLflow's."""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks.clients.tracking import METRICS


class RunCalls:
    """Logs to the run of a client and creates others.

    Attributes:
        metric_type: The peer's own class of a point.
    """

    metric_type: Any
    _client: Any
    _run: str

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._steps = itertools.count()

    def log_batch(self) -> None:
        """Log a thousand points, of ten keys."""
        step, metric = next(self._steps), self.metric_type
        metrics = [metric(f"m{i % 10}", float(i), 1_700_000_000_000 + i, step * 100 + i // 10) for i in range(METRICS)]
        self._client.log_batch(self._run, metrics=metrics)

    def create_and_finish(self) -> None:
        """Create a run and finish it."""
        self._client.set_terminated(self._client.create_run("0").info.run_id)

    def latest(self, run_id: str) -> int:
        """How many metrics a run has the newest point of."""
        return len(self._client.get_run(run_id).data.metrics)
