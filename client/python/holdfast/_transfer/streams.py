"""Streams of messages from the server whose errors may be kept by whoever gets them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from holdfast._rpc_errors import status_of


class Messages(Iterator[Any]):
    """What a call answers.

    gRPC raises the call itself as its error, whose traceback refers to it again. If somebody keeps it, or an error of
    which it is the context, the call stays until the interpreter ends, where collecting it can wait for ever for a
    thread that is no more. What is raised here holds on to nothing.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            broken = BrokenStreamError(error)
            error.__traceback__ = None
            self._call = _Ended()
        # Outside of the handler, so that gRPC's error is no context of this one.
        raise broken

    def cancel(self) -> None:
        """End the call; from any thread."""
        self._call.cancel()

    def close(self) -> None:
        """End the call and forget it, as the frames of an error that is kept refer to this."""
        self._call.cancel()
        self._call = _Ended()


class _Ended(Iterator[Any]):
    """Stands where a call was."""

    def __next__(self) -> Any:
        raise StopIteration

    def cancel(self) -> None:
        pass


class BrokenStreamError(grpc.RpcError):
    """What is to be known of a stream that failed; without an error, of one that ended too early."""

    def __init__(self, error: grpc.RpcError | None = None) -> None:
        super().__init__()
        known: Any = error
        self._metadata = tuple(known.trailing_metadata() or ()) if error else ()
        self._details = known.details() if error else "the server ended the stream early"
        self._code = status_of(error) if error else grpc.StatusCode.UNAVAILABLE

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._code

    def details(self) -> str:
        """Its text."""
        return str(self._details)

    def trailing_metadata(self) -> tuple[Any, ...]:
        """What the server added."""
        return self._metadata
