"""Handlers of gRPC, taken apart and put together again: what every interceptor of all four kinds of call does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

_MAKERS: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def behavior_of(handler: Any) -> Any:
    """The function that answers calls of a handler."""
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def remade(
    handler: Any, behavior: Any, *, parse: Callable[[bytes], Any] | None, serialize: Callable[[Any], bytes] | None
) -> Any:
    """A handler of the same kind with another function and other conversions; None hands bytes on as they are."""
    make = _MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behavior, request_deserializer=parse, response_serializer=serialize)


def kind_of(handler: Any) -> tuple[bool, bool]:
    """Whether the method takes a stream, and whether it answers by one, whatever gRPC is made to believe."""
    kind: tuple[bool, bool] | None = getattr(behavior_of(handler), "kind", None)
    return kind or (bool(handler.request_streaming), bool(handler.response_streaming))


def of_kind(kind: tuple[bool, bool], behavior: Any) -> Any:
    """Mark what answers calls with the kind of its method, where the handler that it gets is of another."""
    marked: Any = partial(behavior)  # a bound method takes no mark itself
    marked.kind = kind
    return marked
