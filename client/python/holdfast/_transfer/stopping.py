"""Ends what the threads of a transfer wait for, so that giving up takes no longer than it takes to say so."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from holdfast._transfer.following import FollowedCall
from holdfast._transfer.streams import BrokenStreamError, Messages

Result = TypeVar("Result")


class StoppedError(Exception):
    """The transfer was given up elsewhere, and what this thread was doing is not needed. No user sees it."""


class Stopping:
    """Tells the threads of one transfer that it is over; calls to the server that they wait for are cancelled.

    Attributes:
        event: Set when it is over; pauses wait for it.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.Lock()
        self._calls: set[Messages] = set()

    def stop(self) -> None:
        """Say that it is over, for good."""
        with self._lock:
            self.event.set()
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def check(self) -> None:
        """Go no further when it is over.

        Raises:
            StoppedError: It is.
        """
        if self.event.is_set():
            raise StoppedError

    def run(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` in a thread of its own, where Ctrl-C does not fall upon its calls; it is over in the end.

        Ctrl-C ends the waiting, and with it the work.
        """
        with contextlib.closing(FollowedCall[Result](lambda: self, lambda _: [work()])) as followed:
            followed.start()
            return followed.next()

    def follow(
        self, items: Callable[[], Iterable[Result]], *, ahead: int | None = None
    ) -> Generator[Result, None, None]:
        """Take ``items`` in a thread, as ``run`` does its work, and not more than ``ahead`` before they are wanted."""
        with contextlib.closing(FollowedCall[Result](lambda: self, lambda _: items(), ahead=ahead)) as followed:
            followed.start()
            while True:
                try:
                    item = followed.next()
                except StopIteration:
                    return
                yield item

    def cancel(self) -> None:
        """What ``stop`` does, by the name that calls have for it."""
        self.stop()

    @contextlib.contextmanager
    def watch(self, call: Any) -> Iterator[Messages]:
        """The messages of a call, which is cancelled when the transfer is over, and when the block is left.

        Raises:
            StoppedError: The transfer is over.
        """
        messages = Messages(call)
        del call
        with self._lock:
            self._calls.add(messages)
        try:
            self.check()
            yield messages
        except BrokenStreamError:
            self.check()
            raise
        finally:
            with self._lock:
                self._calls.discard(messages)
            messages.close()
