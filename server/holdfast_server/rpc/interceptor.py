"""The one place where requests are parsed and errors become statuses, for all four kinds of call."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from holdfast_server.errors import IdleTimeout, InvalidArgument, Reason
from holdfast_server.rpc.errors import status_code, to_domain_error, told_message, trailing_metadata

Parse = Callable[[bytes], Any]


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
    """

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout = idle_timeout

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of the call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        return _wrap(handler, handler_call_details.method, self._idle_timeout)


def _wrap(handler: Any, method: str, idle_timeout: float) -> Any:
    behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    # grpcio types deserializers as optional: None hands over the bytes as they came.
    parse: Parse = bytes if getattr(behavior, "raw_requests", False) else _parser(handler.request_deserializer)
    serialize = None if getattr(behavior, "raw_responses", False) else handler.response_serializer
    streaming = bool(handler.request_streaming)

    async def decode(requests: AsyncIterator[bytes], context: Any) -> Any:
        return _parsed(requests, parse, idle_timeout) if streaming else parse(await _only(context, idle_timeout))

    async def stream(requests: Any, context: Any) -> None:
        try:
            answers = behavior(await decode(requests, context), context)
            if inspect.isawaitable(answers):
                await answers  # it writes to the context by itself, as gRPC's own health service does
            else:
                await _write_all(answers, context, idle_timeout)
        except Exception as error:  # noqa: BLE001 - this is the place that owns errors
            if isinstance(error.__context__, asyncio.CancelledError):
                raise error.__context__ from None  # the peer went away in the middle of a message, which is no defect
            await _abort(error, context, method)

    async def unary(requests: Any, context: Any) -> Any:
        try:
            return await behavior(await decode(requests, context), context)
        except Exception as error:  # noqa: BLE001 - this is the place that owns errors
            return await _abort(error, context, method)

    # Always as one that takes a stream: gRPC itself waits for the message of a call as long as the connection lives,
    # and leaves one that ends without it unanswered.
    make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    wrapped: Any = stream if handler.response_streaming else unary
    return make(wrapped, request_deserializer=None, response_serializer=serialize)


async def _only(context: Any, idle_timeout: float) -> bytes:
    """The message of a call that has one.

    Raises:
        InvalidArgument: MALFORMED_REQUEST, the call ended without it.
        IdleTimeout: It did not come.
    """
    task = asyncio.current_task()
    assert task is not None, "handlers run in tasks"
    # Cheaper than `wait_for`, which makes a task for each call.
    is_late = False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(idle_timeout, give_up)
    message: Any = None
    try:
        message = await context.read()
    except asyncio.CancelledError:
        if not is_late:
            raise
        if sys.version_info >= (3, 11):
            task.uncancel()
    finally:
        timer.cancel()
    if message is None:
        raise IdleTimeout(f"The call's message did not come within {idle_timeout:g} seconds.")
    if message is grpc.aio.EOF:
        raise InvalidArgument("The call ended without its message.", reason=Reason.MALFORMED_REQUEST)
    return bytes(message)


async def _write_all(answers: AsyncGenerator[Any, None], context: Any, idle_timeout: float) -> None:
    """Write what a method yields.

    Written here rather than by gRPC, so that a peer that takes nothing is noticed where it can be answered. Only the
    writing counts: time that the method itself needs is not the peer's.
    """
    async with contextlib.aclosing(answers):
        async for answer in answers:
            try:
                await asyncio.wait_for(context.write(answer), idle_timeout)
            except asyncio.TimeoutError:
                raise IdleTimeout(f"Nothing was taken for {idle_timeout:g} seconds. Go on where you were.") from None
            except grpc.aio.InternalError:
                # The call is over: the peer went away while this was on its way to it. There is nobody to tell.
                raise asyncio.CancelledError from None


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


async def _parsed(requests: AsyncIterator[bytes], parse: Parse, idle_timeout: float) -> AsyncIterator[Any]:
    iterator = requests.__aiter__()
    while True:
        try:
            request = await asyncio.wait_for(iterator.__anext__(), idle_timeout)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise IdleTimeout(
                f"Nothing came for {idle_timeout:g} seconds; what was answered is kept. Send the rest again."
            ) from None
        yield parse(request)


async def _abort(error: Exception, context: Any, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, NotImplementedError):  # what generated servicers raise for methods that are not overridden
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, f"This server does not implement {method}; it may be too old."
        )
    domain_error = to_domain_error(error, method)
    await context.abort(status_code(domain_error), told_message(domain_error), trailing_metadata(domain_error))
