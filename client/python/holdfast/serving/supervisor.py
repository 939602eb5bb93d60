"""Several workers on the same ports: started, watched, replaced when one dies, and drained together."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import multiprocess

from holdfast.serving.config import ServingConfig
from holdfast.serving.listening import bind

__all__ = ["supervise"]

logger = logging.getLogger("holdfast.serving")

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Seconds before a worker that died is replaced, doubled while they die without having served.
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 30.0


def supervise(config: ServingConfig) -> int:
    """Run ``config.workers`` workers until SIGTERM or SIGINT; returns the exit code."""
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    with contextlib.ExitStack() as held:
        try:
            config = _with_ports(config, held)
        except OSError as error:
            print(f"Error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - what is told of a failed start
            return 1
        directory = held.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-serve-metrics-"))
        return _Supervisor(config, directory).run()


def _with_ports(config: ServingConfig, held: contextlib.ExitStack) -> ServingConfig:
    """Hold both ports, and name those that were chosen freely: all workers bind the same."""
    http = held.enter_context(bind(config.host, config.port, shared=True))
    config = dataclasses.replace(config, port=http.getsockname()[1])
    if config.grpc_port is None:
        return config
    grpc = held.enter_context(bind(config.host, config.grpc_port, shared=True))
    return dataclasses.replace(config, grpc_port=grpc.getsockname()[1])


@dataclass(slots=True)
class _Worker:
    """One process.

    Attributes:
        process: It.
        announced: The pipe on which it says that it serves; closed once it has, or has ended.
        line: What it said.
    """

    process: subprocess.Popen[bytes]
    announced: int
    line: bytes = b""
    serves: bool = False


@dataclass
class _Supervisor:
    config: ServingConfig
    metrics_directory: str
    _workers: list[_Worker] = field(default_factory=list)
    _pause: float = _FIRST_PAUSE
    _told: bool = False
    _stopping: bool = False

    def run(self) -> int:
        """Until a signal comes, or no worker can be started in the first place."""
        # A pipe that every signal is written to: `select` wakes up, and nothing is lost between a look and a wait.
        wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        try:
            self._workers = [self._start() for _ in range(self.config.workers)]
            return self._watch(wake)
        finally:
            signal.set_wakeup_fd(-1)
            for worker in self._workers:
                if worker.process.poll() is None:
                    worker.process.kill()
                worker.process.wait()
            os.close(wake)
            os.close(write)

    def _start(self) -> _Worker:
        read, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.serving.worker", self.config.to_json(), "--announce", str(write)],
            pass_fds=[write],
            env={**os.environ, METRICS_VARIABLE: self.metrics_directory},
            start_new_session=True,  # Ctrl-C comes to the supervisor, which passes it on once
        )
        os.close(write)
        return _Worker(process, read)

    def _watch(self, wake: int) -> int:
        replace_at: float | None = None
        while True:
            pipes = [worker.announced for worker in self._workers if worker.announced >= 0]
            timeout = None if replace_at is None else max(0.0, replace_at - time.monotonic())
            ready, _, _ = select.select([wake, *pipes], [], [], timeout)
            if wake in ready and any(number in (signal.SIGTERM, signal.SIGINT) for number in os.read(wake, 4096)):
                return self._drain(wake)
            for worker in self._workers:
                if worker.announced in ready:
                    self._hear(worker)
            died = [worker for worker in self._workers if worker.process.poll() is not None]
            for worker in died:
                self._bury(worker)
            if died and not self._told:
                return max(1, died[0].process.returncode)  # it said why; the others would say the same
            missing = self.config.workers - len(self._workers)
            if missing and replace_at is None:
                replace_at = time.monotonic() + self._pause
                self._pause = min(self._pause * 2, _LAST_PAUSE)
            elif missing and replace_at is not None and time.monotonic() >= replace_at:
                self._workers += [self._start() for _ in range(missing)]
                replace_at = None

    def _hear(self, worker: _Worker) -> None:
        data = os.read(worker.announced, 4096)
        worker.line += data
        if data and not worker.line.endswith(b"\n"):
            return
        os.close(worker.announced)
        worker.announced = -1
        worker.serves = bool(worker.line)
        if worker.serves:
            self._pause = _FIRST_PAUSE
        if not self._told and all(each.serves for each in self._workers):
            self._told = True
            line = worker.line.decode().rstrip("\n")
            print(f"{line}, {len(self._workers)} workers", file=sys.stderr, flush=True)  # noqa: T201 - as a single worker does

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        if worker.announced >= 0:
            os.close(worker.announced)
        mark_dead: Any = multiprocess.mark_process_dead
        mark_dead(worker.process.pid, self.metrics_directory)
        if self._told:
            logger.error("worker %d ended with code %s", worker.process.pid, worker.process.returncode)

    def _drain(self, wake: int) -> int:
        """Pass the signal on; a second one, or a worker that takes far too long, ends it at once."""
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + self.config.drain_timeout + 5
        while any(worker.process.poll() is None for worker in self._workers):
            left = until - time.monotonic()
            ready, _, _ = select.select([wake], [], [], max(0.0, left))
            again = bool(ready) and any(number in (signal.SIGTERM, signal.SIGINT) for number in os.read(wake, 4096))
            if again or left <= 0:
                return 1
        return 0
