"""What SIGTERM does to a program that logs: its runs end KILLED before it does."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

# Seconds in all that a terminated program goes on. Schedulers wait ten or more before they kill it.
SECONDS = 6.0
_FLUSH_SECONDS = 2.0


def end_runs_on_sigterm() -> None:
    """Let SIGTERM end the runs that are active first, unless the program says itself what SIGTERM does."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        return
    with contextlib.suppress(ValueError):  # of an interpreter that is not the main one
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, _frame: object) -> None:
    # In another thread: this one may hold any lock of ours or of gRPC's, and whatever waits for it is given up in time.
    thread = threading.Thread(target=_end, name="holdfast-sigterm", daemon=True)
    with contextlib.suppress(RuntimeError):
        thread.start()
        thread.join(SECONDS)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _end() -> None:
    from holdfast import _active_run
    from holdfast._channel import leave_all
    from holdfast._journal import processes

    leave_all()
    _active_run.end_all("KILLED")
    processes.end_all(_FLUSH_SECONDS)
