"""A channel for generated stubs that outlives the connection beneath it, and what goes with each call on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import grpc

from holdfast._open_connection import Connection
from holdfast._rpc_errors import REQUEST_ID_KEY, SENT_ID
from holdfast._tracing import trace_metadata


class RebindingChannel:
    """What generated stubs take for a ``grpc.Channel``: it looks the open connection up at each call.

    Stubs bind their methods once, yet a fork or a restart of the embedded server needs a new connection underneath.
    """

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connection = connection

    def unary_unary(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._connection, "unary_unary", args, options)

    def unary_stream(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._connection, "unary_stream", args, options)

    def stream_unary(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._connection, "stream_unary", args, options)

    def stream_stream(self, *args: Any, **options: Any) -> _Method:
        return _Method(self._connection, "stream_stream", args, options)


class _Method:
    """A method on whichever connection is open."""

    def __init__(
        self, connection: Callable[[], Connection], kind: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._connection = connection
        self._make = (kind, args, options)
        self._bound: tuple[Connection, Any] | None = None

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
        connection = self._connection()
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
