"""Measures the machine in a thread while a run goes on: processors, memory, disk and network.

The names and units of the metrics are MLflow's. Nothing here stops what the user does: what cannot be measured is left
out, and what cannot be logged is told once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psutil

from holdfast._patience import time_left
from holdfast._system_metrics import PREFIX, Sampling
from holdfast._times import now_ms
from holdfast._worker_reads import unless_worker

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun

logger = logging.getLogger(__name__)

# Seconds that the end of a run waits for its last sample.
STOP_SECONDS = 2.0
_MEGA = 1e6


class Machine:
    """The machine since this was made, as far as it can be measured."""

    def __init__(self) -> None:
        self._received, self._sent = _network() or (0, 0)
        # Usage is what it was since the last call; the first call only begins that.
        with contextlib.suppress(Exception):
            psutil.cpu_percent()

    def levels(self) -> dict[str, float]:
        """What goes up and down, so that its mean tells something: percentages and megabytes in use now."""
        return {key: value for read in (_cpu, _memory, _disk) for key, value in _readable(read)}

    def totals(self) -> dict[str, float]:
        """What only grows: megabytes received and sent by all programs since this was made."""
        network = _network()
        if network is None:
            return {}
        received, sent = network
        return {
            "network_receive_megabytes": (received - self._received) / _MEGA,
            "network_transmit_megabytes": (sent - self._sent) / _MEGA,
        }


def _readable(read: Callable[[], dict[str, float]]) -> Iterator[tuple[str, float]]:
    try:
        yield from read().items()
    except Exception as error:  # noqa: BLE001 - psutil raises what the system does, and no run is to know
        logger.debug("not measured: %r", error)


def _cpu() -> dict[str, float]:
    return {"cpu_utilization_percentage": psutil.cpu_percent()}


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()
    return {
        "system_memory_usage_megabytes": memory.used / _MEGA,
        "system_memory_usage_percentage": memory.used / memory.total * 100,
    }


def _disk() -> dict[str, float]:
    disk = psutil.disk_usage(os.sep)
    return {
        "disk_usage_percentage": disk.percent,
        "disk_usage_megabytes": disk.used / _MEGA,
        "disk_available_megabytes": disk.free / _MEGA,
    }


def _network() -> tuple[int, int] | None:
    """Bytes received and sent since the machine started; None where that is not known."""
    try:
        counters = psutil.net_io_counters()
        return (counters.bytes_recv, counters.bytes_sent)
    except Exception as error:  # noqa: BLE001 - as above; there are no counters where there is no network
        logger.debug("not measured: %r", error)
        return None


class Sampler:
    """Takes a sample every so many seconds and logs the mean of so many samples as one point."""

    def __init__(self, run: ActiveRun, sampling: Sampling, *, resumed: bool) -> None:
        self._run, self._sampling = run, sampling
        # Of a run that goes on only its server knows.
        self._step: int | None = None if resumed else 0
        self._ended = threading.Event()
        self._dropped = False
        self._thread = threading.Thread(target=self._sample, name="holdfast-system-metrics", daemon=True)
        self._levels: defaultdict[str, list[float]] = defaultdict(list)
        self._taken = 0
        # Points whose step is not known yet.
        self._points: list[tuple[int, dict[str, float]]] = []
        self._told = False

    def start(self) -> bool:
        """Begin; tells whether that was possible."""
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            logger.warning("System metrics of run %s are not logged: %s", self._run.info.run_id, error)
            return False
        return True

    def stop(self) -> None:
        """End, after what was sampled is logged."""
        self._ended.set()
        self._thread.join(min(STOP_SECONDS, time_left()))

    def drop(self) -> None:
        """End without another point and without waiting."""
        self._dropped = True
        self._ended.set()

    def _sample(self) -> None:
        try:
            machine = Machine()
            first = True
            while not self._ended.wait(self._sampling.interval):
                self._take(machine)
                if self._taken == self._sampling.samples:
                    first = False
                    self._end_point(machine)
            if self._dropped:
                return
            if first and not self._taken:  # a short run has one point all the same
                self._take(machine)
            if self._taken:
                self._end_point(machine)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self._tell(error)

    def _take(self, machine: Machine) -> None:
        for key, value in machine.levels().items():
            self._levels[key].append(value)
        self._taken += 1

    def _end_point(self, machine: Machine) -> None:
        means = {key: round(sum(values) / len(values), 1) for key, values in self._levels.items()}
        self._levels.clear()
        self._taken = 0
        self._points.append((now_ms(), {**means, **machine.totals()}))
        try:
            self._log()
        except Exception as error:  # noqa: BLE001 - as above
            self._tell(error)

    def _log(self) -> None:
        if self._step is None:
            self._step = self._next_step()
        while self._points:
            at, metrics = self._points.pop(0)
            keyed = {self._sampling.prefix + key: value for key, value in metrics.items()}
            step, self._step = self._step, self._step + 1
            self._run.client.log_metrics(self._run.info.run_id, keyed, step, timestamp=at)

    def _next_step(self) -> int:
        """The step behind all that the run has of such metrics, of whatever machine; 0 for a worker, who reads none."""
        client, run_id = self._run.client, self._run.info.run_id
        metrics = unless_worker(lambda: client.get_run(run_id).data.metrics, ())
        keys = [key for key in metrics if key.startswith(PREFIX)]
        ranges = [client.get_metric_chart(run_id, key, 1) for key in keys]
        return max((bucket.last_step + 1 for buckets in ranges for bucket in buckets), default=0)

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            logger.warning("System metrics of run %s could not be logged: %s", self._run.info.run_id, error)
