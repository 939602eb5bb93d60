"""The one place where requests are parsed and errors become statuses, for all four kinds of call."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.rpc.errors import status_code, to_domain_error, trailing_metadata

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
    """Parses requests and maps every error.

    gRPC itself would answer a malformed message with INTERNAL, and an unexpected exception with UNKNOWN and the
    exception's text.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of the call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        return _wrap(handler, handler_call_details.method)


def _wrap(handler: Any, method: str) -> Any:
    behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    # grpcio types deserializers as optional: None hands over the bytes as they came.
    parse: Parse = bytes if getattr(behavior, "raw_requests", False) else _parser(handler.request_deserializer)
    serialize = None if getattr(behavior, "raw_responses", False) else handler.response_serializer

    streaming = bool(handler.request_streaming)

    def decode(request: Any) -> Any:
        return _parsed(request, parse) if streaming else parse(request)

    if handler.response_streaming:

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                answers = behavior(decode(request), context)
                if inspect.isawaitable(answers):
                    await answers  # it writes to the context by itself, as gRPC's own health service does
                    return
                async for response in answers:
                    yield response
            except Exception as error:  # noqa: BLE001 - this is the place that owns errors
                await _abort(error, context, method)

        make = grpc.stream_stream_rpc_method_handler if streaming else grpc.unary_stream_rpc_method_handler
        return make(stream, request_deserializer=None, response_serializer=serialize)

    async def unary(request: Any, context: Any) -> Any:
        try:
            return await behavior(decode(request), context)
        except Exception as error:  # noqa: BLE001 - this is the place that owns errors
            return await _abort(error, context, method)

    make_unary = grpc.stream_unary_rpc_method_handler if streaming else grpc.unary_unary_rpc_method_handler
    return make_unary(unary, request_deserializer=None, response_serializer=serialize)


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


async def _parsed(requests: AsyncIterator[bytes], parse: Parse) -> AsyncIterator[Any]:
    async for request in requests:
        yield parse(request)


async def _abort(error: Exception, context: Any, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, NotImplementedError):  # what generated servicers raise for methods that are not overridden
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, f"This server does not implement {method}; it may be too old."
        )
    domain_error = to_domain_error(error, method)
    await context.abort(status_code(domain_error), domain_error.message, trailing_metadata(domain_error))
