"""Fills answers up to a size, so that each stays under what clients take; the rest is left for the next page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from holdfast_server.errors import InvalidArgument, Reason
from holdfast_server.services.parts import Part
from holdfast_server.services.search.query import Found, Position

T = TypeVar("T")
# Under 3 MiB with room for the rest of the message and its token.
BUDGET = 2_900_000
_OVERHEAD = 6  # tag and length of an item


def page_limit(page_size: int, *, default: int, maximum: int, field: str = "page_size") -> int:
    """How many items an answer may have.

    Raises:
        InvalidArgument: It is negative, or over the maximum.
    """
    if page_size < 0:
        raise InvalidArgument(f"{field} is 0 or more, not {page_size}.", field=field)
    if page_size > maximum:
        raise InvalidArgument(
            f"{field} {page_size} is too large; the limit is {maximum}. Ask for less at a time.",
            reason=Reason.LIMIT_EXCEEDED,
            field=field,
            metadata={"limit": str(maximum)},
        )
    return page_size or default


def fill_page(
    items: Any,
    found: Iterable[Found[T]],
    write: Callable[[Any, T], None],
    *,
    limit: int,
    shrink: Callable[[Any], None] | None = None,
    budget: int = BUDGET,
) -> Position | None:
    """Append found items to a repeated field until limit or budget is reached.

    ``write`` fills an empty message where it stays: appending one would copy it, by way of its bytes. ``shrink`` makes
    an item fit that is too large for a page of its own. Returns the position of the last item when there are more.
    """
    size = 0
    last: Position | None = None
    for one in found:
        if len(items) == limit:
            return last
        message = items.add()
        write(message, one.item)
        length: int = message.ByteSize()
        if length > BUDGET and shrink is not None:
            shrink(message)
            length = message.ByteSize()
        size += length + _OVERHEAD
        if size > budget and len(items) > 1:
            del items[-1]
            return last
        last = one.position
    return None


def copying(convert: Callable[[T], Message]) -> Callable[[Any, T], None]:
    """A ``write`` for ``fill_page`` of what makes a message: for items that are few or small."""

    def write(message: Any, item: T) -> None:
        message.CopyFrom(convert(item))

    return write


def drop_largest_lists(*names: str) -> Callable[[Any], None]:
    """A ``shrink`` that empties the largest of some lists until the message fits, and marks it as truncated."""

    def shrink(message: Any) -> None:
        message.truncated = True
        by_size = sorted(names, key=lambda name: -sum(item.ByteSize() for item in getattr(message, name)))
        for name in by_size:
            if message.ByteSize() <= BUDGET:
                return
            message.ClearField(name)

    return shrink


def fill_parts(message: Any, parts: Iterable[Part], convert: Mapping[str, Callable[[Any], Message]]) -> Position | None:
    """Append parts of a run or model to its lists until the budget is reached.

    Returns the position of the last part when there are more.
    """
    size: int = message.ByteSize()
    last: Position | None = None
    for part in parts:
        item = convert[part.list_name](part.item)
        size += item.ByteSize() + _OVERHEAD
        if size > BUDGET and last is not None:
            return last
        getattr(message, part.list_name).append(item)
        last = part.position
    return None
