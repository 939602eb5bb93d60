"""The one place where requests are parsed and errors become statuses, for all four kinds of call."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

import grpc
from google.protobuf.message import DecodeError

from holdfast_server.errors import IdleTimeout, InvalidArgument, PermissionDenied, Reason, Unauthenticated
from holdfast_server.rpc.errors import status_code, to_domain_error, told_message, trailing_metadata
from holdfast_server.rpc.guard import Guard
from holdfast_server.rpc.handlers import behavior_of, kind_of, of_kind
from holdfast_server.rpc.incoming import CALL_IS_OVER, Incoming, Pace
from holdfast_server.rpc.limits import CountedCall, Limits, LimitTerms
from holdfast_server.timing_out import within

Parse = Callable[[bytes], Any]
# What the guard refuses calls with.
_REFUSALS = (Unauthenticated, PermissionDenied)
# Seconds for which a peer may go on sending that is refused: one that may not do this at all, and one that may.
DRAIN_SECONDS, MAY_DRAIN_SECONDS = 3.0, 30.0


def raw_requests(method: Any) -> Any:
    """Mark a servicer method that parses its own messages, for the sake of bulk data."""
    method.raw_requests = True
    return method


def raw_responses(method: Any) -> Any:
    """Mark a servicer method that yields serialized messages, for the sake of bulk data."""
    method.raw_responses = True
    return method


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Parses requests, maps every error, and ends streams on which nothing moves.

    gRPC itself would answer a malformed message with INTERNAL, and an unexpected exception with UNKNOWN and the
    exception's text; and it would hold a stalled stream, with what it has in memory, as long as the connection lives.
    With a guard, calls are handled only if it lets them in, and with limits, only if they are within them.
    """

    def __init__(self, idle_timeout: float, guard: Guard | None = None, limits: Limits | None = None) -> None:
        self._idle_timeout, self._guard = idle_timeout, guard
        self._limits = limits or Limits(LimitTerms(), lambda: 0)
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of the call."""
        name = handler_call_details.method
        wrapped = self._handlers.get(name)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        # Kept, as this is the innermost interceptor: it wraps what was registered, which is the same for each call.
        method = _Method(handler, name, self._idle_timeout, self._guard, self._limits)
        self._handlers[name] = method.handler()
        return self._handlers[name]


class _Method:
    """Answers the calls of one method."""

    def __init__(self, handler: Any, name: str, idle_timeout: float, guard: Guard | None, limits: Limits) -> None:
        behavior = behavior_of(handler)
        self._behavior, self._name, self._idle_timeout, self._guard = behavior, name, idle_timeout, guard
        # grpcio types deserializers as optional: None hands over the bytes as they came.
        is_raw = getattr(behavior, "raw_requests", False)
        self._parse: Parse = bytes if is_raw else _parser(handler.request_deserializer)
        self._serialize = None if getattr(behavior, "raw_responses", False) else handler.response_serializer
        self._streams = kind_of(handler)
        self._limits = limits

    def handler(self) -> Any:
        """What gRPC calls: always as a method that takes a stream.

        gRPC itself waits for the message of a call as long as the connection lives, and leaves one that ends without it
        unanswered.
        """
        make: Any = grpc.stream_stream_rpc_method_handler if self._streams[1] else grpc.stream_unary_rpc_method_handler
        behavior = of_kind(self._streams, self._answer)
        return make(behavior, request_deserializer=None, response_serializer=self._serialize)

    async def _answer(self, _: Any, context: Any) -> Any:
        incoming = Incoming(context)
        call = self._limits.call(self._name, context, is_stream=any(self._streams))
        with contextlib.ExitStack() as counted:
            answer = await self._attempt(incoming, context, call, counted)
            if not isinstance(answer, _Refusal):
                return answer
            if self._streams[0]:
                await incoming.drain(answer.patience, self._pace(call))
            return await _refuse(answer, context)

    async def _attempt(
        self, incoming: Incoming, context: Any, call: CountedCall, counted: contextlib.ExitStack
    ) -> Any | _Refusal:
        """The answer, or how the call is to end: errors, and what they hold, stay in here."""
        may_go_on = False
        try:
            counted.enter_context(call)
            secret = self._guard.secret_of(self._name, context) if self._guard is not None else None
            request: Any = incoming if self._streams[0] else await _only(context, self._idle_timeout)
            if self._guard is None:
                await call.begin()
                may_go_on = True
                return await self._call(self._decode(request, call), context, call)
            decode = partial(self._decode, call=call)
            async with self._guard.admitted(self._name, secret, request, decode, streams=self._streams) as admitted:
                await call.begin()
                may_go_on = True
                return await self._call(admitted.request, context, call, in_vain=admitted.in_vain)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the place that owns errors
            is_refused = isinstance(error, _REFUSALS)
            cause = error.__context__
            if self._streams[1] and isinstance(cause, asyncio.CancelledError) and not is_refused:
                raise cause from None  # the peer went away in the middle of a message, which is no defect
            patience = MAY_DRAIN_SECONDS if may_go_on and not is_refused else DRAIN_SECONDS
            return _refusal(error, self._name, patience)

    def _pace(self, call: CountedCall) -> Pace | None:
        return call.pace if self._limits.paces else None

    def _decode(self, request: Any, call: CountedCall) -> Any:
        if not self._streams[0]:
            return self._parse(request)
        return _parsed(request, self._parse, self._idle_timeout, self._pace(call))

    async def _call(self, request: Any, context: Any, call: CountedCall, *, in_vain: bool = False) -> Any:
        """The answer; None where it is a stream, which is written already."""
        answer = self._behavior(request, context)
        if inspect.isawaitable(answer):
            # A method that answers by a stream may write to the context by itself, as gRPC's own health service does.
            return await answer
        if in_vain:
            return await _discard(answer)
        return await _write_all(answer, context, self._idle_timeout, self._pace(call))


async def _only(context: Any, idle_timeout: float) -> bytes:
    """The message of a call that has one.

    Raises:
        InvalidArgument: MALFORMED_REQUEST, the call ended without it.
        IdleTimeout: It did not come.
    """
    try:
        async with within(idle_timeout):
            message = await context.read()
    except asyncio.TimeoutError:
        raise IdleTimeout(f"The call's message did not come within {idle_timeout:g} seconds.") from None
    except CALL_IS_OVER:
        raise asyncio.CancelledError from None
    if message is grpc.aio.EOF:
        raise InvalidArgument("The call ended without its message.", reason=Reason.MALFORMED_REQUEST)
    return bytes(message)


async def _write_all(answers: AsyncGenerator[Any, None], context: Any, idle_timeout: float, pace: Pace | None) -> None:
    """Write what a method yields.

    Written here rather than by gRPC, so that a peer that takes nothing is noticed where it can be answered. Only the
    writing counts: time that the method itself needs is not the peer's.
    """
    async with contextlib.aclosing(answers):
        async for answer in answers:
            try:
                async with within(idle_timeout):
                    await context.write(answer)
            except asyncio.TimeoutError:
                raise IdleTimeout(f"Nothing was taken for {idle_timeout:g} seconds. Go on where you were.") from None
            except CALL_IS_OVER:
                raise asyncio.CancelledError from None
            if pace is not None:
                await pace(len(answer) if isinstance(answer, bytes) else answer.ByteSize())


async def _discard(answers: AsyncGenerator[Any, None]) -> None:
    """Let a method find that what it is asked for is not there; nothing that it says otherwise is sent."""
    async with contextlib.aclosing(answers):
        async for _ in answers:
            return


def _parser(from_string: Parse) -> Parse:
    def parse(data: bytes) -> Any:
        try:
            return from_string(data)
        except (DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise InvalidArgument(
                "The request is not a valid message of this method; generate the client from the current protos.",
                reason=Reason.MALFORMED_REQUEST,
            ) from error

    return parse


async def _parsed(
    requests: AsyncIterator[bytes], parse: Parse, idle_timeout: float, pace: Pace | None
) -> AsyncIterator[Any]:
    iterator = requests.__aiter__()
    while True:
        try:
            async with within(idle_timeout):
                request = await anext(iterator)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise IdleTimeout(
                f"Nothing came for {idle_timeout:g} seconds; what was answered is kept. Send the rest again."
            ) from None
        if pace is not None:
            await pace(len(request))
        yield parse(request)


class _Refusal(NamedTuple):
    """How a call ends that is not answered. ``patience``: seconds for which its peer may go on sending."""

    code: grpc.StatusCode
    message: str
    metadata: tuple[tuple[str, bytes], ...]
    patience: float


def _refusal(error: Exception, method: str, patience: float) -> _Refusal:
    if isinstance(error, NotImplementedError):  # what generated servicers raise for methods that are not overridden
        text = f"This server does not implement {method}; it may be too old."
        return _Refusal(grpc.StatusCode.UNIMPLEMENTED, text, (), patience)
    told = to_domain_error(error, method)
    return _Refusal(status_code(told), told_message(told), trailing_metadata(told), patience)


async def _refuse(refusal: _Refusal, context: Any) -> NoReturn:
    """End a call by the exception that gRPC has for it."""
    # What is set already, such as the request id, would be lost: gRPC sends the one or the other.
    metadata = (*(context.trailing_metadata() or ()), *refusal.metadata)
    try:
        await context.abort(refusal.code, refusal.message, metadata)
    except CALL_IS_OVER:
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")
