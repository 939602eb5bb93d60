"""Calls to a server: over a connection opened when first used, anew after a fork, with retries and our own errors."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

import grpc

from holdfast import _tls, errors
from holdfast._config import Target
from holdfast._open_connection import Connection, address_of
from holdfast._patience import Patience, RetryPolicy, time_left
from holdfast._rebinding import RebindingChannel
from holdfast._rpc_errors import is_interruption, retry_after, translate

Request = TypeVar("Request")
Response = TypeVar("Response")
Stub = TypeVar("Stub")

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 120.0


class Channel:
    """Calls to one server, from any thread and across forks.

    Attributes:
        target: The server.
        grpc: A channel for generated stubs. Stubs made on it stay good when the connection is opened anew.
        takes_columns: Whether the server is believed to know points in columns (``MetricColumns``).
    """

    def __init__(self, target: Target, *, retry: RetryPolicy | None = None) -> None:
        self.target = target
        self.retry = retry or RetryPolicy()
        self.takes_columns = True
        self.grpc = cast("grpc.Channel", RebindingChannel(self._connection))
        self._lock = threading.Lock()
        self._open: Connection | None = None
        self._closed = False
        self._holding = False
        self._stubs: dict[type[Any], Any] = {}
        _channels.add(self)

    def stub(self, stub_type: Callable[[grpc.Channel], Stub]) -> Stub:
        """The stub of a service, made once."""
        stub = self._stubs.get(cast("type[Any]", stub_type))
        if stub is None:
            stub = self._stubs.setdefault(cast("type[Any]", stub_type), stub_type(self.grpc))
        return cast("Stub", stub)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
        patience: float | None = None,
    ) -> Response:
        """Call and wait for the answer, trying again while the server cannot be reached.

        Every call of ours may be repeated: a mutation's request id makes its repetitions one.

        Args:
            method: Of a stub made on ``grpc``.
            request: A mutation carries its request id already.
            timeout: Seconds for each attempt; None for two minutes.
            patience: As for ``run``.

        Raises:
            HoldfastError: As the server says.
            UnavailableError: Nobody answered within the window of ``retry``.
        """
        wanted = CALL_TIMEOUT if timeout is None else timeout
        return self.run(lambda: method(request, timeout=min(wanted, time_left())), patience=patience)

    def run(
        self,
        attempt: Callable[[], Response],
        *,
        position: Callable[[], object] | None = None,
        stopped: threading.Event | None = None,
        patience: float | None = None,
    ) -> Response:
        """Do something with the server, again while it cannot be reached: a call, or a whole stream.

        Args:
            attempt: Is called again after a failure; a stream goes on where it was.
            position: How far a stream is. When it moved since the last failure, the window begins anew.
            stopped: Ends the pauses, and with them the attempts, when it is set.
            patience: Seconds of the window, if that is shorter than what ``retry`` says; the caller then tells the
                user of an outage.

        Raises:
            HoldfastError: As the server says.
            UnavailableError: Nobody answered within the window of ``retry``.
        """
        pauses: Patience | None = None
        reached = position() if position else None
        while True:
            connection = self._connection()
            try:
                response = attempt()
            except grpc.RpcError as error:
                failure = self.translate(error)
            except KeyboardInterrupt:
                self._leave(connection)
                raise
            except ValueError:
                # gRPC's word for a channel that another thread closed meanwhile; other mistakes stay what they are.
                self.refuse_if_closed()
                raise
            else:
                connection.answered = True
                return response
            # Outside of the handler, so that gRPC's error, which holds on to its call, is no context of what is raised.
            if not is_interruption(failure):
                connection.answered = True
                raise failure
            told = retry_after(failure)
            pauses = self._heard(connection, failure, pauses)
            if not connection.answered and self._refuse_bad_tls(connection, failure):
                continue
            self.refuse_if_closed()
            if position and position() != reached:
                pauses, reached = None, position()
            pauses = pauses or self._begin_waiting(connection, stopped, patience, failure)
            if not pauses.pause(stopped, told=told):
                raise failure
            self._revive(connection)

    @staticmethod
    def _heard(connection: Connection, failure: errors.HoldfastError, pauses: Patience | None) -> Patience | None:
        """Note who said that something is away; a server that was heard by it is waited for anew, and longer."""
        # A reason is the server's own: it is its store or database that is away.
        if connection.answered or (retry_after(failure) is None and not failure.reason):
            return pauses
        connection.answered = True
        return None

    def _refuse_bad_tls(self, connection: Connection, failure: errors.HoldfastError) -> bool:
        """Raise if TLS is why a server was never heard: trying again would only put off the message.

        One that was heard before may be changing its certificates, and is waited for. Returns whether this side's files
        were replaced meanwhile, so that another attempt is worth while at once.
        """
        if not isinstance(failure, errors.TlsError):
            problem = None if failure.reason else _tls.probe(self.target, failure.message)
            if not problem:
                return False
            failure = errors.TlsError(problem)
        self._revive(connection)
        if self._open is connection:
            raise failure
        return True

    def _begin_waiting(
        self,
        connection: Connection,
        stopped: threading.Event | None,
        patience: float | None,
        failure: errors.HoldfastError,
    ) -> Patience:
        window = min(self._window_of(connection), time_left())
        if patience is not None:
            window = min(window, patience)
        elif stopped is None or not stopped.is_set():
            # Otherwise a program would stand still without a word.
            what = "does not answer"
            if retry_after(failure) is not None:
                what = "is busy"
            elif failure.reason:
                what = f"cannot do it now: {failure.message}"
            logger.warning("%s %s; trying again for up to %g s", self.target.uri, what, window)
        return Patience(self.retry, window)

    @property
    def window(self) -> float:
        """Seconds for which a server that is away is waited for: longer once it was heard."""
        return self._window_of(self._open)

    def _window_of(self, connection: Connection | None) -> float:
        return self.retry.window if connection is not None and connection.answered else self.retry.first_window

    def note_answer(self) -> None:
        """Note that the server was heard in a call that does not pass through ``run``; it is waited for longer then."""
        connection = self._open
        if connection is not None:
            connection.answered = True

    def translate(self, error: grpc.RpcError) -> errors.HoldfastError:
        """Turn an error of a stream on ``grpc`` into ours; ``call`` does so by itself."""
        return translate(error, self.target)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """End calls in progress and refuse further ones. Closing again does nothing."""
        with self._lock:
            self._closed = True
            connection, self._open = self._open, None
        if connection is not None:
            connection.channel.close()
        if self._holding and self.target.data_dir is not None:
            from holdfast._embedded import release

            self._holding = False
            release(self.target.data_dir)

    def refuse_if_closed(self) -> None:
        """Raise ``FailedPreconditionError`` after ``close``."""
        if self._closed:
            raise errors.FailedPreconditionError("This client is closed; connect again to make a new one.")

    def _connection(self) -> Connection:
        connection = self._open
        if connection is not None:
            return connection
        with self._lock:
            self.refuse_if_closed()
            if self._open is None:
                self._hold()
                self._open = Connection(address_of(self.target), self.target)
            return self._open

    def _hold(self) -> None:
        """Keep the embedded server alive as long as this channel is open."""
        if self.target.data_dir is not None and not self._holding:
            from holdfast._embedded import hold

            hold(self.target.data_dir)
            self._holding = True

    def _revive(self, failed: Connection) -> None:
        """Find the embedded server again, which has another address when it was started anew; read new certificates."""
        if self.target.data_dir is None and not self.target.tls:
            return
        address = address_of(self.target)
        with self._lock:
            same = address == failed.address and _tls.fingerprint(self.target) == failed.files
            if self._open is not failed or same or self._closed:
                return
            # The failed one is not closed: that would cancel what other threads are about to try again.
            with contextlib.suppress(errors.TlsError):  # of a file that is being written; the next attempt looks again
                self._open = Connection(address, self.target, answered=failed.answered)

    def _leave(self, interrupted: Connection) -> None:
        """Let later calls use another connection than one that Ctrl-C fell upon.

        Python may raise ``KeyboardInterrupt`` just after a lock of gRPC's was taken, and before it is noted that the
        lock has to be released; what is called on that connection later would wait for ever. Calls of other threads
        that are going on there go on, so it is not closed.
        """
        with self._lock:
            if self._open is interrupted and not self._closed:
                _left_open.append(interrupted)
                self._open = Connection(interrupted.address, self.target, answered=interrupted.answered)

    def _abandon(self) -> None:
        """Forget the connection of the process that this one was forked from."""
        self._lock = threading.Lock()
        if self._open is not None:
            # Closing or collecting it here would wait for threads that exist in the other process only.
            _left_open.append(self._open)
            self._open = None


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()
_left_open: list[Connection] = []


def leave_all() -> None:
    """Let later calls use other connections than now: a signal fell upon a thread that may hold their locks."""
    for channel in list(_channels):
        connection = channel._open  # noqa: SLF001 - this module's own
        if connection is not None:
            channel._leave(connection)  # noqa: SLF001


def _abandon_all() -> None:
    for channel in list(_channels):
        channel._abandon()  # noqa: SLF001 - this module's own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
