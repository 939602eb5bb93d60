"""Uploads that go on while their caller does."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

logger = logging.getLogger(__name__)

# Each upload works with several threads of its own.
WORKERS = 2


class Background:
    """Uploads that were begun and are not over. The end of the program waits for them; a forked process has none."""

    def __init__(self) -> None:
        _all.add(self)
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None
        self._going_on: set[Future[None]] = set()

    def begin(self, upload: Callable[[], object]) -> Future[None]:
        """Do something in the background; what it raises is logged, and raised by the future's ``result``."""
        if self._pool is None or self._pid != os.getpid():
            self._pid, self._going_on = os.getpid(), set()
            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="holdfast-upload")
        future = self._pool.submit(_do, upload)
        self._going_on.add(future)
        future.add_done_callback(self._going_on.discard)
        return future

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until those that were begun before are over, and tell whether they are."""
        if self._pid != os.getpid():
            return True
        return not wait(list(self._going_on), timeout).not_done

    def close(self) -> None:
        """Wait for all, and end the threads."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.shutdown()


def _do(upload: Callable[[], object]) -> None:
    try:
        upload()
    except BaseException as error:
        # Nobody may ever look at the future.
        logger.error("An upload in the background failed: %s", error)  # noqa: TRY400 - the future has the traceback
        raise


_all: weakref.WeakSet[Background] = weakref.WeakSet()


def wait_for_uploads() -> None:
    """Wait until the uploads of all clients that were begun before are over."""
    for background in list(_all):
        background.wait()
