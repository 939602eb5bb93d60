"""What a model server counts, for Prometheus."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "ServingMetrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_JOINED = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServingMetrics:
    """The counts of one process; with several workers, those of all of them are added up when they are read."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "holdfast_serving_requests", "Requests answered.", ["protocol", "code"], registry=registry
        )
        self._seconds = Histogram(
            "holdfast_serving_request_seconds",
            "Seconds from a request's arrival to its answer.",
            ["protocol"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "holdfast_serving_requests_in_progress",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._joined = Histogram(
            "holdfast_serving_joined_requests",
            "Requests in one prediction, with --batch-size above 1.",
            buckets=_JOINED,
            registry=registry,
        )
        self._workers = Gauge(
            "holdfast_serving_workers",
            "Workers that answer with a version.",
            ["name", "version", "model_id"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.swaps = Counter(
            "holdfast_serving_swaps",
            "Versions that an alias came to name, taken over or refused.",
            ["result"],
            registry=registry,
        )
        self.watch_alive = Gauge(
            "holdfast_serving_watch_alive",
            "1 while the alias is being watched in every worker, with --follow.",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self._children: dict[tuple[str, str], tuple[Any, Any]] = {}

    def request(self, protocol: str, code: str, seconds: float) -> None:
        """Count a request that was answered."""
        found = self._children.get((protocol, code))
        if found is None:
            found = self._requests.labels(protocol, code), self._seconds.labels(protocol)
            self._children[protocol, code] = found
        found[0].inc()
        found[1].observe(seconds)

    def batch(self, size: int) -> None:
        """Count a prediction for so many requests."""
        self._joined.observe(size)

    def serves(self, identity: Any, model_id: str | None, *, now: bool) -> None:
        """Note that this process answers with a version, or does not any more."""
        self._workers.labels(identity.name, identity.version, model_id or "").set(1 if now else 0)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        collected = CollectorRegistry()
        collector: Any = MultiProcessCollector
        collector(collected)
        return generate_latest(collected)
