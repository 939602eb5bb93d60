"""What is measured of tracking: the same for every peer, by calls of its own client."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from benchmarks.clients.job import Job

# The searches: filter and ordering.
SEARCHES: dict[str, tuple[str, list[str]]] = {
    "metric": ("metrics.loss < 0.5", []),
    "metric+param": ("metrics.loss < 0.5 AND params.optimizer = 'adam'", []),
    "like": ("tags.note LIKE '%needle%'", []),
    "ordered": ("metrics.loss < 0.5", ["metrics.acc ASC"]),
}
PAGE = 100
CLIENTS = 16
METRICS = 1_000
MOST_CALLS = 50


class Tracking(Protocol):
    """A peer's client, with what it needs prepared.

    Attributes:
        no_answer: What it raises when the server takes too long.
    """

    no_answer: type[Exception]

    def log_batch(self) -> None:
        """Log a thousand points, of ten keys."""

    def another(self) -> Tracking:
        """A client of its own on the same server."""

    def create_and_finish(self) -> None:
        """Create a run and finish it."""

    def page(self, filter_: str, order_by: list[str], number: int) -> Callable[[], int]:
        """A call that gets a page of a hundred, the first being 0, and returns how many runs it has."""

    def latest(self, run_id: str) -> int:
        """How many metrics a run has the newest point of."""

    def chart(self, run_id: str) -> int:
        """The history of a long metric in a thousand pieces; returns how many there are."""

    def register(self) -> None:
        """Register a version and move an alias to it."""


def measure_tracking(client: Tracking, job: Job) -> dict[str, float]:
    """The figures of one kind, which ``job.sources`` names first."""
    kind, *arguments = job.sources
    measure: dict[str, Callable[..., dict[str, float]]] = {
        "log-batch": lambda: _latency("log_batch", client.log_batch, job.seconds),
        "runs": lambda: _runs(client, job.seconds),
        "search": lambda: _searches(client, job.seconds),
        "chart": lambda run_id: {
            **_latency("latest", lambda: client.latest(run_id), job.seconds),
            **_latency("chart", lambda: client.chart(run_id), job.seconds),
        },
        "register": lambda: _latency("register", client.register, job.seconds),
    }
    return measure[kind](*arguments)


def _latency(name: str, call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Milliseconds of repeated calls, after one that does not count."""
    call()
    return repeated_latency(name, call, seconds)


def repeated_latency(name: str, call: Callable[[], Any], seconds: float) -> dict[str, float]:
    taken: list[float] = []
    end = time.monotonic() + seconds
    while not taken or (time.monotonic() < end and len(taken) < MOST_CALLS):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1000)
    taken.sort()
    return {
        f"{name}_p50": taken[len(taken) // 2],
        f"{name}_p95": taken[min(int(len(taken) * 0.95), len(taken) - 1)],
        f"{name}_count": len(taken),
    }


def _runs(client: Tracking, seconds: float) -> dict[str, float]:
    """Runs per second, of one client and of sixteen, each a thread with a connection of its own."""
    figures: dict[str, float] = {}
    for count in (1, CLIENTS):
        clients = [client, *(client.another() for _ in range(count - 1))]
        for one in clients:
            one.create_and_finish()
        start = time.monotonic()
        end = start + seconds
        with ThreadPoolExecutor(count) as threads:
            made = list(threads.map(partial(_repeat, end=end), [one.create_and_finish for one in clients]))
        figures |= {
            f"runs_{count}": sum(done for done, _ in made) / (time.monotonic() - start),
            f"errors_{count}": sum(failed for _, failed in made),
        }
    return figures


def _repeat(call: Callable[[], None], end: float) -> tuple[int, int]:
    done = failed = 0
    while time.monotonic() < end:
        try:
            call()
            done += 1
        except Exception:  # noqa: BLE001 - whatever it is, such as a locked database, is what is counted
            failed += 1
    return done, failed


def _searches(client: Tracking, seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, (filter_, order_by) in SEARCHES.items():
        first = client.page(filter_, order_by, 0)
        start = time.monotonic()
        try:
            found = first()  # which does not count
        except client.no_answer:
            figures[f"{name}_unanswered"] = (time.monotonic() - start) * 1000
            continue
        assert found == PAGE, f"{name} found too few"
        figures |= repeated_latency(name, first, seconds)
    # Of 100,000 runs there is a page 500.
    for number in (1, 500):
        page = client.page("metrics.loss < 0.7", [], number - 1)
        if page() == PAGE:
            figures |= repeated_latency(f"page_{number}", page, seconds)
    return figures
