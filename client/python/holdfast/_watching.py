"""Follows what changes, over any number of broken connections and restarts of the server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from holdfast._channel import Channel
from holdfast._events import event_from_proto
from holdfast._patience import Patience
from holdfast._rpc_errors import is_interruption, retry_after
from holdfast._transfer.stopping import StoppedError, Stopping
from holdfast._transfer.streams import Messages
from holdfast.entities import Event
from holdfast.errors import HoldfastError, UnavailableError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

# Events that may wait to be taken; the server keeps those that follow.
AHEAD = 100


class Watch(Iterator[Event]):
    """Events as they come; an iterator, to be closed when it is not needed any more, as its ``with`` block does.

    It goes on where it was when the connection breaks or the server is restarted, and looks for a server that is away
    until it is back, or for ``retry_for`` seconds. What came is neither missed nor repeated.

    Attributes:
        cursor: Behind the last event that was taken; kept fresh while nothing happens. Empty before the first.
    """

    def __init__(
        self,
        channel: Channel,
        method: Callable[[Any], Any],
        request: Any,
        state: Callable[[Any], Event],
        *,
        retry_for: float | None,
    ) -> None:
        self._channel, self._method, self._request, self._state = channel, method, request, state
        self._window = float("inf") if retry_for is None else retry_for
        self._stopping = Stopping()
        self._patience = self._fresh_patience()
        self._ended = False
        self._taken = self._stopping.follow(self._follow, ahead=AHEAD)
        self.cursor: str = request.cursor

    def __next__(self) -> Event:
        """The next event.

        Raises:
            InvalidArgumentError: The cursor is not one of this watch.
            NotFoundError: What is to be watched is not there.
            OutOfRangeError: Events behind the cursor are not kept any more: read again, and watch without a cursor.
            UnavailableError: No server was found, or none any more within ``retry_for``.
        """
        while (event := self.wait()) is None:
            pass
        return event

    def wait(self) -> Event | None:
        """The next event, or None when the server says that there is none so far; raises as the iterator does."""
        while True:
            event, self.cursor, is_idle = next(self._taken)
            if event is not None or is_idle:
                return event

    def close(self) -> None:
        """End the watch; a thread that waits for its next event gets none."""
        self._stopping.stop()
        with contextlib.suppress(ValueError):  # the iterator is being used in another thread, which ends it
            self._taken.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _follow(self) -> Iterator[tuple[Event | None, str, bool]]:
        """Events, and None for heartbeats, with the cursors behind them, and whether nothing more is there."""
        while not self._ended and not self._stopping.event.is_set():
            failure: HoldfastError = UnavailableError("The server ended the stream early.")
            try:
                yield from self._read_on()
            except StoppedError:
                return
            except grpc.RpcError as error:
                failure = self._interruption(error)
            except UnavailableError as error:
                if not self._request.cursor and not self._stopping.event.is_set():
                    raise  # nobody was ever there: the address is more likely wrong than the server away
                failure = error
            # Outside of the handlers, so that gRPC's error is no context of what may be raised here.
            if self._ended or self._stopping.event.is_set():
                return
            if (
                not self._patience.pause(self._stopping.event, told=retry_after(failure))
                and not self._stopping.event.is_set()
            ):
                raise failure

    def _read_on(self) -> Iterator[tuple[Event | None, str, bool]]:
        """What one call brings."""
        with contextlib.ExitStack() as calls:

            def begin() -> tuple[Messages, Any]:
                call = calls.enter_context(self._stopping.watch(self._method(self._request)))
                return call, next(call, None)

            call, response = self._channel.run(begin, stopped=self._stopping.event)
            # A watch that has an end, and whose cursor stands behind it, is answered with nothing.
            self._ended = response is None and bool(self._request.cursor)
            is_first = True  # what comes first says that the call goes on, and nothing of what happened meanwhile
            while response is not None:
                self._patience = self._fresh_patience()
                self._request.cursor = response.cursor
                event = self._event(response)
                self._ended = event is not None and self._is_last(event)
                yield event, response.cursor, event is None and not is_first
                is_first = False
                response = next(call, None)

    def _event(self, response: Any) -> Event | None:
        part = response.WhichOneof("part")
        if part == "event":
            return event_from_proto(response.event, response.cursor)
        return None if part in {None, "heartbeat"} else self._state(response)

    def _is_last(self, event: Event) -> bool:
        """Whether the server ends the stream behind it, as what is watched is gone for good."""
        if event.subject == "RUN" and event.type == "PURGED":
            return event.run_id == getattr(self._request, "run_id", None)
        return (event.subject, event.type) == ("REGISTERED_MODEL", "DELETED")

    def _fresh_patience(self) -> Patience:
        return Patience(self._channel.retry, self._window)

    def _interruption(self, error: grpc.RpcError) -> HoldfastError:
        """Our error for one after which the watch can go on; raises any other."""
        failure = self._channel.translate(error)
        if not is_interruption(failure):
            raise failure from None
        return failure
