"""Starts several workers, replaces one that dies, and lets all finish when it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from holdfast_server.host import URGENT_SIGNALS, stopping_signals
from holdfast_server.settings import Resolved
from holdfast_server.workers.role import Announcement

logger = logging.getLogger("holdfast_server.workers")

# Seconds before a worker that died is replaced; doubled for each that dies before it has served.
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0
# What a worker may take after its calls had the time to finish: to close the storage.
CLOSING_SECONDS = 10.0


def flags_of(settings: Sequence[Resolved], number: int, *, port: int, metrics_port: int) -> list[str]:
    """The command line of a worker: each setting as it is for the parent, with what differs between workers.

    Args:
        settings: Those of the parent.
        number: The worker's, from 1.
        port: The shared one, as really bound.
        metrics_port: The worker's; 0 picks a free one.
    """
    flags = []
    for found in settings:
        setting, text = found.setting, found.text
        if setting.name == "workers":
            text = "1"
        elif setting.name == "port":
            text = str(port)
        elif setting.name == "unix" and number > 1:
            text = ""
        elif setting.name == "metrics_address" and text:
            text = f"{text.rpartition(':')[0]}:{metrics_port}"
        if setting.metavar:
            flags.append(f"{setting.flag}={text}")
        else:
            flags.append(setting.flag if found.value else setting.flag.replace("--", "--no-", 1))
    return flags


@dataclass(slots=True, kw_only=True)
class _Worker:
    """A place for a process, and the process that has it.

    Attributes:
        number: From 1.
        metrics_port: To ask for; what it was given once it served.
        process: None before the first, and until a dead one is replaced.
        pipe: On which it announces itself; -1 once that is done.
        said: What came on it.
        serves: Whether it said that it serves.
        failures: How many died in a row before they served.
        start_at: When it is to be replaced.
    """

    number: int
    metrics_port: int
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    said: bytes = b""
    serves: bool = False
    failures: int = 0
    start_at: float = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """The parent of workers. It serves nothing itself, and loads nothing of what they need.

    Args:
        settings: What the workers are to be told.
        workers: How many there are.
        port: The shared port, which the caller holds.
        metrics_port: Of the first worker; the others have those after it. 0: a free one for each.
        drain_timeout: Seconds that calls in progress get when all stop.
        say: Prints a line for whoever started the server.
    """

    def __init__(
        self,
        settings: Sequence[Resolved],
        *,
        workers: int,
        port: int,
        metrics_port: int,
        drain_timeout: float,
        say: Callable[[str], None],
    ) -> None:
        self._settings, self._port, self._drain_timeout, self._say = settings, port, drain_timeout, say
        self._workers = [
            _Worker(number=number, metrics_port=metrics_port + number - 1 if metrics_port else 0)
            for number in range(1, workers + 1)
        ]
        self._wake = self._lifeline = -1
        self._stopping = stopping_signals()
        self._line, self._is_settled = "", False

    def run(self) -> int:
        """Until SIGTERM, SIGINT or SIGHUP, or until a worker fails before all have served; returns the exit code.

        That of a failed start is the worker's, which said why. After a signal it is 0 when all ended in good order.
        """
        with self._signals(), self._reaped():
            # One alone first: it brings the data directory up to date, and if it cannot start, one says so.
            for group in (self._workers[:1], self._workers[1:]):
                for worker in group:
                    self._start(worker)
                while not all(worker.serves for worker in group):
                    if self._is_told_to_stop(None):
                        return self._drain()
                    ended = [worker for worker in self._workers if not worker.serves and not worker.is_alive]
                    ended = [worker for worker in ended if worker.process is not None and worker.pipe < 0]
                    if ended:
                        return self._fail(ended[0])
            return self._watch()

    def _watch(self) -> int:
        while True:
            for worker in self._workers:
                if worker.process is not None and not worker.is_alive:
                    self._bury(worker)
            waiting = [worker.start_at for worker in self._workers if worker.process is None]
            timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
            if self._is_told_to_stop(timeout):
                return self._drain()
            for worker in self._workers:
                if worker.process is None and worker.start_at <= time.monotonic():
                    self._start(worker)

    def _start(self, worker: _Worker) -> None:
        read, write = os.pipe()
        flags = flags_of(self._settings, worker.number, port=self._port, metrics_port=worker.metrics_port)
        try:
            # A fresh process: gRPC does not survive a fork. In a session of its own, as Ctrl-C is ours to pass on.
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "holdfast_server.workers", str(worker.number), str(write), *flags],
                stdin=self._lifeline,
                pass_fds=[write],
                start_new_session=True,
            )
        except OSError as error:  # no memory for a process now; there may be later
            os.close(read)
            self._put_off(worker, f"could not be started: {error.strerror}")
        else:
            worker.pipe, worker.said, worker.serves = read, b"", False
        finally:
            os.close(write)

    def _is_told_to_stop(self, timeout: float | None, *, again: bool = False) -> bool:
        """Wait for news, hear what workers announce, and tell whether a signal came that asks for the end."""
        stopping = URGENT_SIGNALS if again else self._stopping
        pipes = {worker.pipe: worker for worker in self._workers if worker.pipe >= 0}
        ready, _, _ = select.select([self._wake, *pipes], [], [], timeout)
        for pipe in ready:
            if pipe != self._wake:
                self._hear(pipes[pipe])
        return self._wake in ready and any(number in stopping for number in os.read(self._wake, 4096))

    def _hear(self, worker: _Worker) -> None:
        data = os.read(worker.pipe, 4096)
        worker.said += data
        if data and not worker.said.endswith(b"\n"):
            return
        os.close(worker.pipe)
        worker.pipe = -1
        if not data:
            return  # it ended; the signal of that comes by itself
        announced = Announcement.from_bytes(worker.said)
        worker.serves, worker.failures, worker.metrics_port = True, 0, announced.metrics_port
        if worker.number == 1 and not self._is_settled:
            self._line = announced.line
        if all(each.serves for each in self._workers) and not self._is_settled:
            self._is_settled = True
            self._tell()
        elif self._is_settled and worker.process is not None:
            logger.info("worker %d serves again, as process %d", worker.number, worker.process.pid)

    def _tell(self) -> None:
        self._say(f"{self._line}, {len(self._workers)} workers")
        address = next(found.text for found in self._settings if found.setting.name == "metrics_address")
        if address:
            host = address.rpartition(":")[0]
            pages = [f"http://{host}:{worker.metrics_port}/metrics" for worker in self._workers]
            self._say(f"Metrics of each worker on {', '.join(pages)}")

    def _bury(self, worker: _Worker) -> None:
        assert worker.process is not None
        end = _end_of(worker.process.returncode)
        if worker.pipe >= 0:
            os.close(worker.pipe)
            worker.pipe = -1
        self._put_off(worker, f"(process {worker.process.pid}) ended {end}")

    def _put_off(self, worker: _Worker, what: str) -> None:
        pause = min(FIRST_PAUSE * 2**worker.failures, LAST_PAUSE)
        logger.error("worker %d %s; another is started in %g s", worker.number, what, pause)
        worker.failures = min(worker.failures + 1, 10)  # one that comes to serve begins at 0
        worker.process, worker.serves, worker.start_at = None, False, time.monotonic() + pause

    def _fail(self, ended: _Worker) -> int:
        assert ended.process is not None
        code = ended.process.returncode
        if code <= 0:  # it had no time to say why
            self._say(f"Worker {ended.number} ended {_end_of(code)} before it served.")
        for worker in self._workers:
            if worker.process is not None and worker.is_alive:
                worker.process.terminate()
        self._wait(CLOSING_SECONDS)
        return max(code, 1)

    def _drain(self) -> int:
        """Pass the signal on. A second one, or a worker that takes far too long, ends all at once."""
        for worker in self._workers:
            if worker.process is not None and worker.is_alive:
                worker.process.terminate()
        in_order = self._wait(self._drain_timeout + CLOSING_SECONDS)
        codes = [worker.process.returncode for worker in self._workers if worker.process is not None]
        return 0 if in_order and not any(codes) else 1

    def _wait(self, seconds: float) -> bool:
        """Wait for the end of all; False when the time is over, or another signal came."""
        until = time.monotonic() + seconds
        while any(worker.is_alive for worker in self._workers):
            if until <= time.monotonic() or self._is_told_to_stop(until - time.monotonic(), again=True):
                return False
        return True

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals, children's ends among them, written to a pipe: none is lost between a look and a wait."""
        self._wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (*self._stopping, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            os.close(self._wake)
            os.close(write)

    @contextlib.contextmanager
    def _reaped(self) -> Iterator[None]:
        """Leave no process behind: the pipe that workers have as input tells them also of a parent that was killed."""
        self._lifeline, kept = os.pipe()
        try:
            yield
        finally:
            for worker in self._workers:
                if worker.process is not None:
                    if worker.is_alive:
                        worker.process.kill()
                    worker.process.wait()
            os.close(self._lifeline)
            os.close(kept)


def _end_of(code: int) -> str:
    if code >= 0:
        return f"with code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
