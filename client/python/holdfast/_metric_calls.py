"""What a client does to log metrics: they wait in the journal for microseconds to be sent in the background."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast._calls import MAX_BATCH_METRICS, batches
from holdfast._journal.keeping import KeptCalls
from holdfast._journal.processes import unsent
from holdfast._metrics import MAX_STEP, check_metrics, metric_step, metric_value, points_to_proto
from holdfast._times import check_ms, now_ms


class MetricCalls(KeptCalls):
    """What a client does to log metrics.

    A call returns when its points are in the journal, a private file of this process that survives it; they are sent in
    the background, in order, each once. Values and keys that break a rule are refused at once. The first point of a run
    that was not begun through this client, or of a logged model, is sent at once as well, so that a run or model that
    is not there is found by the call that names it.
    """

    def log_metric(  # noqa: PLR0917 - MLflow's own signature
        self,
        run_id: str,
        key: str,
        value: float,
        timestamp: int | None = None,
        step: int | None = None,
        synchronous: bool | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
        model_id: str | None = None,
    ) -> None:
        """Log one point.

        Args:
            run_id: The run.
            key: The metric.
            value: A number, also NaN and infinities, or a tensor of one element.
            timestamp: Milliseconds since 1970; None for now.
            step: Position in training; 0 without one.
            synchronous: True to return when the point is durable at the server.
            dataset_name: Of the dataset it was measured on.
            dataset_digest: The same.
            model_id: The logged model it describes.
        """
        journal = self._sender.journal
        at = now_ms() if timestamp is None else check_ms(timestamp, key)
        try:
            series = journal.series.get((run_id, key, model_id, dataset_name, dataset_digest))
        except TypeError:  # no text at all, which is told below
            series = None
        if series is None or synchronous or self.strict:
            names = (model_id, dataset_name, dataset_digest)
            self._log_points(run_id, [(key, value)], at, step, names, synchronous=bool(synchronous))
            return
        journal.append_point(
            series,
            value if type(value) is float else metric_value(key, value),
            at,
            step if type(step) is int and -MAX_STEP <= step <= MAX_STEP else metric_step(key, step),
        )

    def log_metrics(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        step: int | None = None,
        *,
        timestamp: int | None = None,
        synchronous: bool | None = None,
        model_id: str | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
    ) -> None:
        """Log points of one step and time; otherwise as ``log_metric``."""
        names = (model_id, dataset_name, dataset_digest)
        points = check_metrics(metrics).items()
        if not synchronous and not self.strict and self._append_known(run_id, points, timestamp, step, names):
            return
        self._log_points(run_id, points, timestamp, step, names, synchronous=bool(synchronous))

    def _log_points(
        self,
        run_id: str,
        points: Iterable[tuple[str, Any]],
        timestamp: int | None,
        step: int | None,
        names: tuple[str | None, str | None, str | None],
        *,
        synchronous: bool,
    ) -> None:
        """Log points after all of them were checked."""
        self._channel.refuse_if_closed()
        model_id, name, digest = names
        at = now_ms() if timestamp is None else check_ms(timestamp)
        metrics = points_to_proto(points, step, at, model_id=model_id, dataset_name=name, dataset_digest=digest)
        journal = self._sender.journal
        if (synchronous and not self._has_to_wait) or not journal.knows(run_id, model_id):
            if synchronous:
                self._settle()
            for batch in batches(metrics, MAX_BATCH_METRICS):
                self._log(run_id, metrics=batch)
            journal.note_known(run_id, model_id)
        else:
            for metric in metrics:
                series = journal.known_series((run_id, metric.key, model_id, name, digest))
                journal.append_point(series, metric.value, at, metric.step)
        if self.strict and self._sender.outage is not None:
            self._wait_strictly()

    def _append_known(
        self,
        run_id: str,
        points: Iterable[tuple[str, Any]],
        timestamp: int | None,
        step: int | None,
        names: tuple[str | None, str | None, str | None],
    ) -> bool:
        """Take points whose series all had some before, without making messages of them; tells whether it did."""
        journal, known = self._sender.journal, []
        for key, value in points:
            try:
                series = journal.series.get((run_id, key, *names))
            except TypeError:  # a name is no text, which is told elsewhere
                return False
            if series is None:
                return False
            known.append((series, metric_value(key, value)))
        at = now_ms() if timestamp is None else check_ms(timestamp)
        number = metric_step(known[0][0].key, step) if known else 0
        for series, value in known:
            journal.append_point(series, value, at, number)
        return True

    def _wait_strictly(self) -> None:
        """Wait for a server that is away as long as a call would.

        Raises:
            UnsentError: It stays away. What was logged is in the journal all the same.
        """
        window = self._channel.retry.window
        if not self._sender.flush(window, away_timeout=window):
            failure = unsent(self._sender)
            if failure is not None:
                raise failure
