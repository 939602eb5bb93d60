"""Uploads that go on while their caller does."""

from __future__ import annotations

import logging
import math
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
        self.begin_anew()
        _all.add(self)

    def begin_anew(self) -> None:
        """Have nothing under way."""
        # It has no threads until it is used.
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="holdfast-upload")
        self._going_on: set[Future[None]] = set()

    def begin(self, upload: Callable[[], object]) -> Future[None]:
        """Do something in the background; what it raises is logged, and raised by the future's ``result``."""
        future = self._pool.submit(_do, upload)
        self._going_on.add(future)
        future.add_done_callback(self._going_on.discard)
        return future

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until those that were begun before are over, for ``timeout`` seconds at most; tells whether they are."""
        return not wait(list(self._going_on), None if timeout == math.inf else timeout).not_done

    def close(self) -> None:
        """Wait for all, and end the threads."""
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


def _begin_all_anew() -> None:
    for background in list(_all):
        background.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_anew)
