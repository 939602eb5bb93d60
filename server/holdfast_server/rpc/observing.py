"""The one place where calls are watched: each gets its request id here, and its observers hear of begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import grpc

from holdfast_server.calls import REQUEST_ID_KEY, UNKNOWN_METHOD, Call, CallObserver, request_id, request_id_from
from holdfast_server.rpc.handlers import behavior_of, kind_of, remade

Count = Callable[[int], None]


class SizeObserver(Protocol):
    """Is told how large messages are."""

    def sizes(self, method: str) -> tuple[Count, Count]:
        """Take the bytes of each message of a method's calls that came, and of each that is sent."""
        ...


class ObservingInterceptor(grpc.aio.ServerInterceptor):
    """Names every call, sends the name back in the trailing metadata, and tells observers of it.

    It is the outermost of the interceptors, so that also what another refuses is named and seen.
    """

    def __init__(self, observers: Sequence[CallObserver], sizes: SizeObserver | None = None) -> None:
        self._observers, self._sizes = observers, sizes

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of the call."""
        metadata = handler_call_details.invocation_metadata or ()
        name = request_id_from(metadata)
        request_id.set(name)  # each call is a task, with a context of its own
        handler = await continuation(handler_call_details)
        method = handler_call_details.method.lstrip("/")
        if handler is None:
            handler, method = _UNKNOWN, UNKNOWN_METHOD
        return self._wrap(handler, method, name, metadata)

    def _wrap(self, handler: Any, method: str, name: str, metadata: Any) -> Any:
        behavior, is_stream = behavior_of(handler), any(kind_of(handler))

        async def unary(request: Any, context: Any) -> Any:
            watched = _Watched(self._observers, Call(method, is_stream, name, context.peer(), metadata), context)
            try:
                return await behavior(request, context)
            except asyncio.CancelledError:
                watched.note_cancelled()
                raise
            finally:
                watched.end()

        async def stream(request: Any, context: Any) -> None:
            watched = _Watched(self._observers, Call(method, is_stream, name, context.peer(), metadata), context)
            try:
                await behavior(request, context)
            except asyncio.CancelledError:
                watched.note_cancelled()
                raise
            finally:
                watched.end()

        parse, serialize = handler.request_deserializer, handler.response_serializer
        if self._sizes is not None:
            came, sent = self._sizes.sizes(method)
            parse, serialize = _counting_input(parse, came), _counting_output(serialize, sent)
        return remade(handler, stream if handler.response_streaming else unary, parse=parse, serialize=serialize)


class _Watched:
    """A call whose observers heard of its begin; a context manager would cost as much as all else."""

    __slots__ = ("_code", "_context", "_ends")

    def __init__(self, observers: Sequence[CallObserver], call: Call, context: Any) -> None:
        self._context, self._code = context, ""
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        self._ends = [observer.begin(call) for observer in observers]

    def note_cancelled(self) -> None:
        """Note that gRPC cancelled it, which it also does with what has passed its deadline."""
        left = self._context.time_remaining()
        self._code = "CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED"

    def end(self) -> None:
        """Tell the observers how it ended."""
        code = self._code or _code_of(self._context)
        for end in reversed(self._ends):
            end(code)


def _code_of(context: Any) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "OK"


async def _refuse_unknown(_: Any, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        "This server has no such method; it may be older than the client, and then a newer one has it.",
    )


# Every kind of call can be answered so: what a client of one message sends is a stream of one.
_UNKNOWN: Any = grpc.stream_stream_rpc_method_handler(_refuse_unknown)


def _counting_input(parse: Callable[[bytes], Any] | None, count: Count) -> Callable[[bytes], Any]:
    def counted(data: bytes) -> Any:
        count(len(data))
        return data if parse is None else parse(data)

    return counted


def _counting_output(serialize: Callable[[Any], bytes] | None, count: Count) -> Callable[[Any], bytes]:
    def counted(message: Any) -> bytes:
        data: bytes = message if serialize is None else serialize(message)
        count(len(data))
        return data

    return counted
