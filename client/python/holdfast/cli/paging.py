"""Going through what may be many, without keeping it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import click

from holdfast.entities import PagedList

T = TypeVar("T")


class Limited(Generic[T]):
    """At most so many of some items.

    Attributes:
        there_is_more: Whether some were left out; known after the last one.
    """

    def __init__(self, items: Iterable[T], limit: int | None) -> None:
        self._items = items
        self._limit = limit
        self.there_is_more = False

    def __iter__(self) -> Iterator[T]:
        for position, item in enumerate(self._items):
            if position == self._limit:
                self.there_is_more = True
                return
            yield item

    def tell(self) -> None:
        """Say on standard error that some were left out, if so."""
        if self.there_is_more:
            click.echo("There is more; --all or a larger --max shows it.", err=True)


def through_pages(fetch: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    """All items of all pages; a page is asked for when the one before is used up.

    Args:
        fetch: Takes the token of a page, None for the first.
    """
    token: str | None = None
    while True:
        page = fetch(token)
        yield from page
        token = page.token
        if not token:
            return
