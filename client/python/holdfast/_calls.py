"""What the groups of calls of a client share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc

from holdfast.entities import PagedList
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import experiment_pb2

if TYPE_CHECKING:
    from holdfast._channel import Channel

T = TypeVar("T")
Response = TypeVar("Response")

# What one request takes at most; see run_service.proto.
MAX_BATCH_PARAMS = 100
MAX_BATCH_TAGS = 100
MAX_BATCH_METRICS = 1_000
# A little less than the 1 MiB that a request may have, for what stands around the items.
MAX_BATCH_BYTES = 900_000


class _Mutation(Protocol):
    """A request that carries a request id."""

    request_id: str


class _Message(Protocol):
    """A protobuf message."""

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name
        """Bytes that it takes when serialized."""
        ...


Mutation = TypeVar("Mutation", bound=_Mutation)
Sized = TypeVar("Sized", bound=_Message)


class Calls:
    """Base of the groups of calls that make up a client."""

    _channel: Channel

    def _mutate(self, method: grpc.UnaryUnaryMultiCallable[Mutation, Response], request: Mutation) -> Response:
        """Send a change under an id of its own, so that however often it is sent it happens once."""
        request.request_id = secrets.token_hex(16)
        return self._channel.call(method, request)


def collect(
    fetch: Callable[[int, str], tuple[Iterable[T], str]], *, max_results: int | None, page_size: int, token: str | None
) -> PagedList[T]:
    """Gather pages until there are ``max_results`` items or no more pages; the server may end a page early.

    Args:
        fetch: Takes a page size and a token, returns the items and the next token.
        max_results: None for all.
        page_size: At most this many at once.
        token: Where to begin; None or empty for the beginning.

    Raises:
        InvalidArgumentError: ``max_results`` is not a positive whole number.
    """
    if max_results is not None and (not isinstance(max_results, int) or max_results < 1):
        raise InvalidArgumentError(f"max_results is a whole number from 1, not {max_results!r}.")
    items: list[T] = []
    token = token or ""
    while True:
        wanted = page_size if max_results is None else min(page_size, max_results - len(items))
        page, token = fetch(wanted, token)
        items.extend(page)
        if not token or (max_results is not None and len(items) >= max_results):
            return PagedList(items, token or None)


def tags_to_proto(tags: Mapping[str, Any] | None) -> list[experiment_pb2.Tag]:
    """Labels for a request; values become text, as MLflow's do."""
    return [experiment_pb2.Tag(key=check_text(key, "tag"), value=str(value)) for key, value in (tags or {}).items()]


def tags_from_proto(tags: Iterable[experiment_pb2.Tag]) -> dict[str, str]:
    """Labels by key."""
    return {tag.key: tag.value for tag in tags}


def check_text(key: object, what: str) -> str:
    """Return ``key`` if it is text; protobuf's own error would not say what is wrong.

    Raises:
        InvalidArgumentError: It is not, or has lone surrogates, which no UTF-8 holds.
    """
    if not isinstance(key, str):
        raise InvalidArgumentError(f"The key of a {what} is text, not {key!r}.")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"The key {key!r} of a {what} is not valid Unicode.") from None
    return key


def batches(items: Sequence[Sized], size: int) -> list[list[Sized]]:
    """Cut messages into batches of at most ``size``, each small enough for one request."""
    cut: list[list[Sized]] = []
    room = 0
    for item in items:
        weight = item.ByteSize()
        if not cut or len(cut[-1]) == size or weight > room:
            cut.append([])
            room = MAX_BATCH_BYTES
        cut[-1].append(item)
        room -= weight
    return cut


def texts(values: str | Iterable[str] | None) -> list[str]:
    """A list of texts, also of a single one, which would otherwise count as many of one letter."""
    if values is None:
        return []
    return [values] if isinstance(values, str) else [str(value) for value in values]
