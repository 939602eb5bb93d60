"""Waits for a call to the server so that Ctrl-C does no harm to it."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from holdfast._channel import Channel

Answer = TypeVar("Answer")

# Seconds for a cancelled call to end.
END_SECONDS = 0.5
# Seconds between looks for Ctrl-C: a signal that comes just before a wait begins does not end it.
LOOK_SECONDS = 0.1


class FollowedCall(Generic[Answer]):
    """A call that a thread of its own begins and follows; its answers are taken from a queue.

    Python may raise ``KeyboardInterrupt`` just after the main thread took a lock of gRPC's and before it is noted that
    the lock is to be released. It then stays taken, and every later call of the connection waits for it. A queue's
    ``get`` has no such moment.

    Args:
        begin: Makes the call.
        answers: Takes what the call answers; ends, or raises the call's error.
        ahead: Answers that may wait to be taken before no more are asked for; None for any number.
    """

    def __init__(
        self, begin: Callable[[], Any], answers: Callable[[Any], Iterable[Answer]], *, ahead: int | None = None
    ) -> None:
        self._begin, self._take = begin, answers
        self._answers: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()
        # One item for each answer that may still be put; a semaphore has locks of Python's own.
        self._room: queue.SimpleQueue[None] | None = None if ahead is None else queue.SimpleQueue()
        for _ in range(ahead or 0):
            self._give_room()
        self._call: Any = None
        self._closed = False
        context = contextvars.copy_context()  # how long the caller has
        self._thread = threading.Thread(target=context.run, args=(self._follow,), name="holdfast-answers", daemon=True)

    def start(self) -> None:
        """Begin the call; apart from making this, so that it can be closed when Ctrl-C falls upon its beginning."""
        self._thread.start()

    def next(self) -> Answer:
        """The next answer.

        Raises:
            StopIteration: The call ended well.
            Exception: What the call raised.
        """
        while True:
            with contextlib.suppress(queue.Empty):
                answer, error = self._answers.get(timeout=LOOK_SECONDS)
                break
        if error is not None:
            raise error
        self._give_room()
        return answer  # type: ignore[return-value]  # there is one where there is no error

    def close(self) -> None:
        """End the call at once, if it has not ended."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
        if self._thread.ident is not None:
            self._thread.join(END_SECONDS)

    def _follow(self) -> None:
        try:
            self._call = self._begin()
            if self._closed:
                self._call.cancel()
            for answer in self._take(self._call):
                self._wait_for_room()
                self._answers.put((answer, None))
            self._answers.put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._answers.put((None, error))

    def _give_room(self) -> None:
        if self._room is not None:
            self._room.put(None)

    def _wait_for_room(self) -> None:
        while self._room is not None and not self._closed:
            with contextlib.suppress(queue.Empty):
                self._room.get(timeout=LOOK_SECONDS)
                return


def answer_of(channel: Channel, begin: Callable[[], Any]) -> Any:
    """The one answer of a call, which ``begin`` makes as a future; it is made again while the server is away.

    Raises:
        HoldfastError: As the server says.
    """

    def attempt() -> Any:
        # Closed at once on Ctrl-C: what sends the messages of a call waits for as long as the call lives.
        with contextlib.closing(FollowedCall[Any](begin, lambda call: [call.result()])) as call:
            call.start()
            return call.next()

    return channel.run(attempt)
