"""Keeps the leases of the runs that this process began: one thread for all of them, which tells the servers of life."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from holdfast import _system_metrics
from holdfast.errors import HoldfastError, NotFoundError

if TYPE_CHECKING:
    from holdfast._channel import Channel

logger = logging.getLogger(__name__)

# Seconds until the first renewal of a lease that a run was created with: most runs of tests are over by then, and a
# server's leases are hardly shorter. Its answer says how long they are.
FIRST_INTERVAL = 1.0
# Seconds between attempts while a server does not answer.
RETRY_INTERVAL = 5.0
# Seconds that the thread waits for further runs.
LINGER = 10.0
CALL_SECONDS = 10.0
PATIENCE = 1.0
MAX_RENEWED = 1_000


class LeaseThread:
    """Renews leases at a third of their length while there are runs; it ends some time after the last of them.

    A server that cannot be reached is asked again soon and nobody is told: what the run logs finds out as well, and
    time in which no server runs does not count.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: dict[str, Channel] = {}
        self._due = float("inf")
        self._thread: threading.Thread | None = None

    def hold(self, run_id: str, channel: Channel, *, taken: bool) -> None:
        """Renew the lease of a run from now on; ``taken``: the run has one already."""
        with self._changed:
            if not taken:
                self._due = 0.0
            elif channel not in self._runs.values():
                self._due = min(self._due, time.monotonic() + FIRST_INTERVAL)
            self._runs[run_id] = channel
            self._changed.notify()
            if self._thread is None:
                thread = threading.Thread(target=self._keep, name="holdfast-leases", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is ending, and with it the run
                    thread.start()
                    self._thread = thread

    def drop(self, run_id: str) -> None:
        """Let a run be: it ended."""
        with self._changed:
            self._runs.pop(run_id, None)

    def _keep(self) -> None:
        while runs := self._wait():
            renewed = [self._renew(channel, run_ids) for channel, run_ids in _by_channel(runs).items()]
            with self._changed:
                self._due = min(self._due, time.monotonic() + min(renewed, default=RETRY_INTERVAL))

    def _wait(self) -> dict[str, Channel]:
        """The runs when their leases are due; none when there were none for some time, and the thread is to end."""
        with self._changed:
            while self._runs:
                left = self._due - time.monotonic()
                if left <= 0:
                    self._due = float("inf")
                    return dict(self._runs)
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
                if not self._runs:
                    self._changed.wait(LINGER)
            self._thread = None
            return {}

    @staticmethod
    def _renew(channel: Channel, run_ids: list[str]) -> float:
        """Renew the leases of runs of one server; returns the seconds after which to do so again."""
        from holdfast.v1.run_service_pb2 import RenewLeasesRequest
        from holdfast.v1.run_service_pb2_grpc import RunServiceStub

        interval = RETRY_INTERVAL
        try:
            method = channel.stub(RunServiceStub).RenewLeases
            for start in range(0, len(run_ids), MAX_RENEWED):
                request = RenewLeasesRequest(run_ids=run_ids[start : start + MAX_RENEWED])
                # With patience, which also finds an embedded server again that was started anew, and says no word.
                answer = channel.call(method, request, timeout=CALL_SECONDS, patience=PATIENCE)
                for run_id in set(request.run_ids).difference(answer.held_run_ids):
                    _stop_watching(channel, run_id)
                interval = answer.lease_duration.ToTimedelta().total_seconds() / 3
        except (HoldfastError, ValueError) as error:  # the latter of a connection that was closed meanwhile
            logger.debug("leases could not be renewed: %s", error)
            return RETRY_INTERVAL
        return interval


def _stop_watching(channel: Channel, run_id: str) -> None:
    """Watch the machine no more for a run that something else ended. One that the server lacks may be in a journal."""
    from holdfast.v1 import run_pb2
    from holdfast.v1.run_service_pb2 import GetRunRequest
    from holdfast.v1.run_service_pb2_grpc import RunServiceStub

    if not _system_metrics.is_watched(run_id):
        return
    with contextlib.suppress(NotFoundError):
        method = channel.stub(RunServiceStub).GetRun
        found = channel.call(method, GetRunRequest(run_id=run_id), timeout=CALL_SECONDS, patience=PATIENCE).run
        if found.status not in (run_pb2.RUN_STATUS_RUNNING, run_pb2.RUN_STATUS_SCHEDULED):
            _system_metrics.drop(run_id)


def _by_channel(runs: dict[str, Channel]) -> dict[Channel, list[str]]:
    channels: dict[Channel, list[str]] = {}
    for run_id, channel in runs.items():
        if not channel.closed:
            channels.setdefault(channel, []).append(run_id)
    return channels


_leases = LeaseThread()


def hold(run_id: str, channel: Channel, *, taken: bool) -> None:
    """Renew the lease of a run until ``drop``; ``taken``: the run has one already."""
    _leases.hold(run_id, channel, taken=taken)


def drop(run_id: str) -> None:
    """Renew the lease of a run no more."""
    _leases.drop(run_id)


def _begin_anew() -> None:
    """The runs are those of the process that this one was forked from, and so is the thread."""
    global _leases  # noqa: PLW0603 - its lock may be held by a thread that does not exist here
    _leases = LeaseThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
