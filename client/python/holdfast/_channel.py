"""The connection to a server: opened when first used, anew in a forked process, with retries and our own errors."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc

from holdfast import _tls, errors
from holdfast._config import Target
from holdfast._rpc_errors import REQUEST_ID_KEY, SENT_ID, is_interruption, retry_after, translate
from holdfast._tracing import trace_metadata

Request = TypeVar("Request")
Response = TypeVar("Response")
Stub = TypeVar("Stub")

logger = logging.getLogger(__name__)

MIB = 1 << 20
MAX_MESSAGE = 4 * MIB
CALL_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often a call is repeated that found no server.

    Attributes:
        window: Seconds to keep trying once the server has answered before, also by saying that it is busy.
        first_window: The same before its first answer: then the address is more likely wrong than the server gone.
        initial_delay: Upper bound in seconds of the first pause; it doubles with each.
        max_delay: Where that bound stops growing.
    """

    window: float = 30.0
    first_window: float = 5.0
    initial_delay: float = 0.1
    max_delay: float = 2.0

    def delay(self, attempt: int) -> float:
        """Seconds to pause after failure ``attempt``, from 0, with full jitter; clients must not come back together.

        See "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        return random.uniform(0, min(self.max_delay, self.initial_delay * 2**attempt))  # noqa: S311 - no secret


class Patience:
    """Pauses between attempts that bring nothing, until a window is over that begins with the first of them.

    Make a new one after progress.
    """

    def __init__(self, retry: RetryPolicy, window: float) -> None:
        self._retry, self._window = retry, window
        self._failures = 0
        self._give_up: float | None = None

    def pause(self, stopped: threading.Event | None = None, *, told: float | None = None) -> bool:
        """Sleep before the next attempt; False when there is to be none, as after ``stopped`` is set.

        ``told``: seconds that the server wants to be left alone. Half as much again is spread over its clients.
        """
        now = time.monotonic()
        if self._give_up is None:
            self._give_up = now + self._window
        delay = self._retry.delay(self._failures)
        if told is not None:
            delay = max(delay, told * random.uniform(1, 1.5))  # noqa: S311 - no secret
        if now + delay > self._give_up:
            return False
        self._failures += 1
        if stopped is not None:
            return not stopped.wait(delay)
        time.sleep(delay)
        return True


_give_up_at: ContextVar[float] = ContextVar("_give_up_at", default=float("inf"))


@contextlib.contextmanager
def hurried(seconds: float) -> Iterator[None]:
    """Within this block calls are given up when ``seconds`` are over: somebody waits for the program to end."""
    token = _give_up_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _give_up_at.reset(token)


def time_left() -> float:
    """Seconds until calls in this context are given up; infinite as a rule."""
    return max(_give_up_at.get() - time.monotonic(), 0.0)


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
        self.grpc = cast("grpc.Channel", _RebindingChannel(self))
        self._lock = threading.Lock()
        self._open: _Connection | None = None
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
            connection.answered = connection.answered or told is not None
            if not connection.answered and self._refuse_bad_tls(connection, failure):
                continue
            self.refuse_if_closed()
            if position and position() != reached:
                pauses, reached = None, position()
            pauses = pauses or self._begin_waiting(connection, stopped, patience, failure)
            if not pauses.pause(stopped, told=told):
                raise failure
            self._revive(connection)

    def _refuse_bad_tls(self, connection: _Connection, failure: errors.HoldfastError) -> bool:
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
        connection: _Connection,
        stopped: threading.Event | None,
        patience: float | None,
        failure: errors.HoldfastError,
    ) -> Patience:
        window = min(self.retry.window if connection.answered else self.retry.first_window, time_left())
        if patience is not None:
            window = min(window, patience)
        elif stopped is None or not stopped.is_set():
            # Otherwise a program would stand still without a word.
            what = "does not answer" if retry_after(failure) is None else "is busy"
            logger.warning("%s %s; trying again for up to %g s", self.target.uri, what, window)
        return Patience(self.retry, window)

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

    def _connection(self) -> _Connection:
        connection = self._open
        if connection is not None:
            return connection
        with self._lock:
            self.refuse_if_closed()
            if self._open is None:
                self._hold()
                self._open = _Connection(_address(self.target), self.target)
            return self._open

    def _hold(self) -> None:
        """Keep the embedded server alive as long as this channel is open."""
        if self.target.data_dir is not None and not self._holding:
            from holdfast._embedded import hold

            hold(self.target.data_dir)
            self._holding = True

    def _revive(self, failed: _Connection) -> None:
        """Find the embedded server again, which has another address when it was started anew; read new certificates."""
        if self.target.data_dir is None and not self.target.tls:
            return
        address = _address(self.target)
        with self._lock:
            same = address == failed.address and _tls.fingerprint(self.target) == failed.files
            if self._open is not failed or same or self._closed:
                return
            # The failed one is not closed: that would cancel what other threads are about to try again.
            with contextlib.suppress(errors.TlsError):  # of a file that is being written; the next attempt looks again
                self._open = _Connection(address, self.target, answered=failed.answered)

    def _leave(self, interrupted: _Connection) -> None:
        """Let later calls use another connection than one that Ctrl-C fell upon.

        Python may raise ``KeyboardInterrupt`` just after a lock of gRPC's was taken, and before it is noted that the
        lock has to be released; what is called on that connection later would wait for ever. Calls of other threads
        that are going on there go on, so it is not closed.
        """
        with self._lock:
            if self._open is interrupted and not self._closed:
                _left_open.append(interrupted)
                self._open = _Connection(interrupted.address, self.target, answered=interrupted.answered)

    def _abandon(self) -> None:
        """Forget the connection of the process that this one was forked from."""
        self._lock = threading.Lock()
        if self._open is not None:
            # Closing or collecting it here would wait for threads that exist in the other process only.
            _left_open.append(self._open)
            self._open = None


class _Connection:
    """An open gRPC channel.

    Attributes:
        answered: Whether a server was ever heard on it.
        files: Tells whether the files of TLS are still those that it was opened with.
    """

    def __init__(self, address: str, target: Target, *, answered: bool = False) -> None:
        self.address = address
        self.answered = answered
        self.files = _tls.fingerprint(target)
        self.metadata = (("authorization", f"Bearer {target.token}"),) if target.token else ()
        if target.tls:
            self.channel = grpc.secure_channel(address, _tls.credentials(target), options=_options(target))
        else:
            self.channel = grpc.insecure_channel(address, options=_options(target))


class _RebindingChannel:
    """What generated stubs take for a ``grpc.Channel``: it looks the open connection up at each call.

    Stubs bind their methods once, yet a fork or a restart of the embedded server needs a new connection underneath.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def unary_unary(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._channel, "unary_unary", args, options)

    def unary_stream(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._channel, "unary_stream", args, options)

    def stream_unary(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._channel, "stream_unary", args, options)

    def stream_stream(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._channel, "stream_stream", args, options)


class _Method:
    """A method on whichever connection is open."""

    def __init__(self, channel: Channel, kind: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._channel = channel
        self._make = (kind, args, options)
        self._bound: tuple[_Connection, Any] | None = None

    def __call__(self, request: Any, **options: Any) -> Any:
        method, name = self._method(options)
        try:
            return _named(method(request, **options), name)
        except grpc.RpcError as error:
            _named(error, name)
            raise

    def future(self, request: Any, **options: Any) -> Any:
        method, name = self._method(options)
        return _named(method.future(request, **options), name)

    def with_call(self, request: Any, **options: Any) -> Any:
        method, name = self._method(options)
        try:
            return method.with_call(request, **options)
        except grpc.RpcError as error:
            _named(error, name)
            raise

    def _method(self, options: dict[str, Any]) -> tuple[Any, str]:
        """The method as the open connection has it, and the request id that is among the options now."""
        connection = self._channel._connection()  # noqa: SLF001 - a part of Channel
        name = secrets.token_hex(16)
        given = options.get("metadata") or ()
        options["metadata"] = (*given, *connection.metadata, *trace_metadata(), (REQUEST_ID_KEY, name))
        bound = self._bound
        if bound is None or bound[0] is not connection:
            kind, args, made = self._make
            bound = self._bound = (connection, getattr(connection.channel, kind)(*args, **made))
        return bound[1], name


def _named(call: Any, name: str) -> Any:
    """Note on a call, which gRPC raises when it fails, under which id it went; answers are no calls and stay as is."""
    if isinstance(call, grpc.RpcError):
        setattr(call, SENT_ID, name)
    return call


def _address(target: Target) -> str:
    if target.data_dir is None:
        return target.address
    from holdfast._embedded import attach

    return attach(target.data_dir)


def _options(target: Target) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        # What a stream may have waiting here unread. gRPC would let it grow with the bandwidth, to tens of MiB where a
        # disk is slower than the network; with 8 MiB a line of 1 Gbit/s and 50 ms is used to four fifths only.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 12 << 20),
        # The server allows a ping every 10 s.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Channels of the same arguments would share a connection, and a stalled upload would stall metrics.
        ("grpc.use_local_subchannel_pool", 1),
        # gRPC would wait up to two minutes before it looks whether a restarted server is back.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # By its code this also bounds an attempt to connect, which takes 20 s otherwise when nothing answers at all.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        # Retries are ours: gRPC's own stop once its buffer overflows.
        ("grpc.enable_retries", 0),
        ("grpc.primary_user_agent", "holdfast-python"),
    ]
    if target.loopback:
        # A proxy cannot reach what is on this machine.
        options.append(("grpc.enable_http_proxy", 0))
    return options


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()
_left_open: list[_Connection] = []


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
