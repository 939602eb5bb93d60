"""Artifacts that this process has open for writing, closed at the end of their run, their client or the program."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

logger = logging.getLogger(__name__)

# How long a fork waits for an append that is under way. gRPC may hang in a process that was forked in the middle of a
# call; but a server that does not answer must not hold up the program.
FORK_PATIENCE = 1.0


class OpenFile(Protocol):
    """What is known of an artifact that is open for writing."""

    run_id: str
    channel: Any
    sending: threading.Lock

    def flush(self) -> None:
        """Return when all that was written is durable."""
        ...

    def close(self) -> None:
        """Make what was written a file of the run."""
        ...

    def disown(self) -> None:
        """The file is another process's, which this one was forked from."""
        ...


_open: dict[int, OpenFile] = {}
_worker_pid = 0
_held: list[threading.Lock] = []


def add(file: OpenFile) -> None:
    """Remember a file until ``remove``."""
    _open[id(file)] = file
    _close_with_worker_process()


def remove(file: OpenFile) -> None:
    """Forget a file."""
    _open.pop(id(file), None)


def close_of_run(run_id: str) -> None:
    """Close the files of a run, all of them even when one cannot be closed."""
    _close(lambda file: file.run_id == run_id)


def close_of_channel(channel: object) -> None:
    """Close the files that were opened through a connection, which is about to be closed itself."""
    _close(lambda file: file.channel is channel)


def flush_all() -> list[Exception]:
    """Return when all that was written to any of them is durable, and what went wrong with some."""
    failures: list[Exception] = []
    for file in list(_open.values()):
        try:
            file.flush()
        except Exception as error:  # noqa: BLE001 - the others are flushed all the same
            failures.append(error)
    return failures


def _close(wanted: Callable[[OpenFile], bool]) -> None:
    with contextlib.ExitStack() as closing:
        # An exit stack goes on when one of them fails, and raises what failed in the end.
        for file in [file for file in list(_open.values()) if wanted(file)]:
            closing.callback(file.close)


@atexit.register
def _close_all() -> None:
    for file in list(_open.values()):
        try:
            file.close()
        except Exception as error:  # noqa: BLE001 - the program ends, whatever it is
            logger.warning("An artifact of run %s could not be closed: %s", file.run_id, error)


def _close_with_worker_process() -> None:
    """A process of multiprocessing ends without Python's exit handlers; it has its own kind."""
    global _worker_pid  # noqa: PLW0603 - once for each process
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None or _worker_pid == os.getpid():
        return
    from multiprocessing.util import Finalize

    _worker_pid = os.getpid()
    # Before the end of the process's runs.
    Finalize(None, _close_all, exitpriority=20)


def _before_fork() -> None:
    _held.extend(file.sending for file in list(_open.values()) if file.sending.acquire(timeout=FORK_PATIENCE))


def _after_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    _held.clear()
    for file in list(_open.values()):
        file.disown()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
