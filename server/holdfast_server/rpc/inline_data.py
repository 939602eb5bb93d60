"""Bounds the inline data of commits that is in memory."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_server.domain.artifacts import NewEntry
from holdfast_server.rpc.byte_budget import Share
from holdfast_server.services.commits import Commit, InlineEntry


class InlineData:
    """Adds entries to a commit, and holds room for their contents until those are staged."""

    def __init__(self, share: Share, commit: Commit) -> None:
        self._share, self._commit = share, commit

    async def add(self, entries: Sequence[NewEntry | InlineEntry]) -> None:
        """Take room for the contents and add the entries.

        Raises:
            DomainError: As ``Commit.add`` says.
        """
        size = sum(len(entry.data) for entry in entries if isinstance(entry, InlineEntry))
        if size:  # a commit without contents waits for nobody
            if not self._share.has_free(size):
                # Many commits that wait for more while each holds some would wait for ever.
                await self._commit.flush()
                self._share.keep(0)
            await self._share.acquire(size)
        await self._commit.add(entries)
        self._share.keep(self._commit.held_bytes)

    async def give_way(self) -> None:
        """Stage what is held when others have waited for the room for long: the peer sends slowly, or nothing.

        Raises:
            DomainError: What came before cannot be committed.
        """
        if self._share.is_overdue:
            await self._commit.flush()
            self._share.keep(self._commit.held_bytes)

    def close(self) -> None:
        """Give the room back."""
        self._share.keep(0)
