"""One page of a search, from its parsed query and the token of the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from google.protobuf.message import Message

from holdfast_server.rpc.paging import fill_page
from holdfast_server.services.access import current_viewer
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.search.page_token import open_token, seal_token
from holdfast_server.services.search.query import Found, Position, SearchQuery

T = TypeVar("T")
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A search with the page wanted. ``method`` keeps tokens of one search out of another."""

    method: str
    query: SearchQuery
    token: str
    limit: int


def read_page(
    tx: Transaction,
    request: PageRequest,
    walk: Callable[[SearchQuery, Position | None, int], Iterable[Found[T]]],
    response: R,
    *,
    items: Any,
    write: Callable[[Any, T], None],
    shrink: Callable[[Any], None] | None = None,
) -> R:
    """Fill ``items``, a list of ``response``, with what the caller may read, and set its ``next_page_token``.

    ``write`` as ``fill_page`` takes it.

    Raises:
        InvalidArgument: INVALID_PAGE_TOKEN.
    """
    # Here and not in each search, so that none is forgotten. A token is no good to another principal, too.
    query = replace(request.query, visible_to=current_viewer())
    bound = (request.method, query)
    after = open_token(tx.page_token_key, bound, request.token) if request.token else None
    found = walk(query, after, request.limit + 1)
    last = fill_page(items, found, write, limit=request.limit, shrink=shrink)
    if last is not None:
        response.next_page_token = seal_token(tx.page_token_key, bound, last)  # type: ignore[attr-defined]
    return response
