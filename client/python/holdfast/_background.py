"""Uploads that go on while their caller does."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Sized
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

logger = logging.getLogger(__name__)

# Each upload works with several threads of its own.
WORKERS = 2
# Seconds after which somebody who waits as long as it takes is told what for, and how often from then on.
TOLD_AFTER = 10.0
TOLD_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Uploads:
    """What did not arrive of uploads in the background.

    Attributes:
        going_on: How many are not over.
        failed: How many failed since this was asked last.
        failure: Why the last of these did.
    """

    going_on: int = 0
    failed: int = 0
    failure: BaseException | None = None

    def __bool__(self) -> bool:
        return bool(self.going_on or self.failed)

    def __add__(self, other: Uploads) -> Uploads:
        return Uploads(self.going_on + other.going_on, self.failed + other.failed, self.failure or other.failure)


NO_UPLOADS = Uploads()


class Background:
    """Uploads that were begun and are not over. The end of the program waits for them; a forked process has none.

    Attributes:
        uri: The server that they go to.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.begin_anew()
        _all.add(self)

    def begin_anew(self) -> None:
        """Have nothing under way."""
        # It has no threads until it is used.
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="holdfast-upload")
        self._going_on: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._failed = 0
        self._failure: BaseException | None = None

    def begin(self, upload: Callable[[], object]) -> Future[None]:
        """Do something in the background; what it raises is logged, counted for ``wait``, and raised by the future."""
        future = self._pool.submit(self._do, upload)
        self._going_on.add(future)
        future.add_done_callback(self._going_on.discard)
        return future

    def wait(self, timeout: float) -> Uploads:
        """Wait until those that were begun before are over, for ``timeout`` seconds at most; tells what is not well."""
        return self._told(wait(list(self._going_on), None if timeout == math.inf else timeout).not_done)

    def wait_for_end(self, of: str, timeout: float = math.inf) -> Uploads:
        """Wait as long as they take, and say so to a user, to whom the program seems to stand still.

        Args:
            of: What ends then.
            timeout: Most seconds, for somebody in a hurry.
        """
        going_on, give_up, patience = set(self._going_on), time.monotonic() + timeout, TOLD_AFTER
        while going_on and (left := give_up - time.monotonic()) > 0:
            going_on = wait(going_on, min(left, patience)).not_done
            if going_on and left > patience:
                logger.warning("%s waits for uploads in the background (%d), as long as they take.", of, len(going_on))
                patience = TOLD_EVERY
        return self._told(going_on)

    def close(self) -> Uploads:
        """Wait for all, and end the threads; tells which failed."""
        told = self.wait_for_end("The end of this client")
        self._pool.shutdown()
        return told

    def _told(self, going_on: Sized) -> Uploads:
        with self._lock:
            told = Uploads(len(going_on), self._failed, self._failure)
            self._failed, self._failure = 0, None
        return told

    def _do(self, upload: Callable[[], object]) -> None:
        try:
            upload()
        except BaseException as error:
            with self._lock:
                self._failed, self._failure = self._failed + 1, error
            # Nobody may ever look at the future.
            logger.error("An upload in the background failed: %s", error)  # noqa: TRY400 - the future has the traceback
            raise


_all: weakref.WeakSet[Background] = weakref.WeakSet()


def uploads_to(uri: str) -> list[Background]:
    """The uploads to a server, of all clients."""
    return [background for background in list(_all) if background.uri == uri]


def _begin_all_anew() -> None:
    for background in list(_all):
        background.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_anew)
