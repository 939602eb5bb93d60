"""What the groups of calls of a client share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import grpc

from holdfast._checks import check_text, check_unicode, check_value
from holdfast.entities import PagedList
from holdfast.errors import InvalidArgumentError, UnavailableError
from holdfast.v1 import experiment_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

    from holdfast._channel import Channel
    from holdfast._journal.sender import Sender

T = TypeVar("T")
P = ParamSpec("P")
M = TypeVar("M", bound="Message")
Response = TypeVar("Response")

# What one request takes at most; see run_service.proto.
MAX_BATCH_PARAMS = 100
MAX_BATCH_TAGS = 100
MAX_BATCH_METRICS = 1_000
MAX_BATCH_LINKS = 100
# A little less than the 1 MiB that a request may have, for what stands around the items.
MAX_BATCH_BYTES = 900_000
# Seconds that a read waits for what was logged before it.
SETTLE_SECONDS = 30.0


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
    _sender: Sender

    def _mutate(self, method: grpc.UnaryUnaryMultiCallable[Mutation, Response], request: Mutation) -> Response:
        """Send a change under an id of its own, so that however often it is sent it happens once.

        What it is about may still wait in the journal, so that goes first.
        """
        if self._sender.holds_changes:
            self._settle()
        request.request_id = secrets.token_hex(16)
        return self._channel.call(method, request)

    def _settle(self) -> None:
        """Let what was logged before arrive first, as far as that goes soon: what follows depends on it.

        Raises:
            UnavailableError: The server stays away as long as the client waits for one.
        """
        sender = self._sender
        if sender.waiting and not sender.flush(SETTLE_SECONDS, away_timeout=self._channel.window):
            outage = sender.outage
            if isinstance(outage, UnavailableError):
                raise outage


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


def build(kind: Callable[P, M], *args: P.args, **fields: P.kwargs) -> M:
    """Make a message; every request is made here, so that a value of another type is our error and not protobuf's.

    Raises:
        InvalidArgumentError: A field cannot hold its value; the message names the argument.
    """
    try:
        return kind(*args, **fields)
    except (TypeError, ValueError) as error:  # UnicodeEncodeError, of lone surrogates, is a ValueError
        descriptor: Any = kind.DESCRIPTOR  # type: ignore[attr-defined]  # of a message's class, which kind is
        for name, value in fields.items():
            _check_field(descriptor.fields_by_name[name], value)
        raise InvalidArgumentError(f"The arguments do not make a request: {error}") from error


# Fields that the arguments they come from call otherwise.
_ARGUMENTS = {"filter": "filter_string", "experiment_ids": "experiment_id", "deleted_tag_keys": "key"}


def _check_field(field: FieldDescriptor, value: object) -> None:
    if value is None:
        return
    what = _ARGUMENTS.get(field.name, field.name)
    values = value if isinstance(value, (list, tuple)) else [value]
    if field.cpp_type == field.CPPTYPE_STRING:
        for item in values:
            check_unicode(item, what)
    elif field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64):
        for item in values:
            if not isinstance(item, int) or not -(2**63) <= item < 2**63:
                raise InvalidArgumentError(f"{what} is a whole number of 64 bits, not {item!r:.80}.")
    elif field.cpp_type == field.CPPTYPE_BOOL and not isinstance(value, bool):
        raise InvalidArgumentError(f"{what} is True or False, not {value!r:.80}.")


def tags_to_proto(tags: Mapping[str, Any] | None, limit: int | None = None) -> list[experiment_pb2.Tag]:
    """Labels for a request; values become text, as MLflow's do.

    Args:
        tags: The labels.
        limit: Most characters of a value; None leaves it to the server.
    """
    if tags is not None and not isinstance(tags, Mapping):
        raise InvalidArgumentError(f"tags must be a dictionary, not {type(tags).__name__}.")
    return [
        experiment_pb2.Tag(key=check_text(key, "tag"), value=check_value(key, value, "tag", limit))
        for key, value in (tags or {}).items()
    ]


def tags_from_proto(tags: Iterable[experiment_pb2.Tag]) -> dict[str, str]:
    """Labels by key."""
    return {tag.key: tag.value for tag in tags}


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
