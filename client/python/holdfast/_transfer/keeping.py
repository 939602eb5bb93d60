"""Keeps blocks of a long upload alive until they are committed: the server collects what nobody asked for in a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from holdfast._channel import Channel
from holdfast._transfer.asking import find_missing

KEEP_SECONDS = 3_600.0


class BlockKeeper:
    """Asks for all blocks of an upload once an hour, which keeps those that the server has for another day.

    It works while the upload does, without a thread of its own: a stream whose producer is silent for a day loses its
    blocks, and its commit says so.
    """

    def __init__(self, channel: Channel, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel, self._clock = channel, clock
        self._due = clock() + KEEP_SECONDS

    def keep(self, digests: Sequence[Sequence[bytes]]) -> None:
        """Ask for the digests of all sources so far, if an hour is over; otherwise this costs nothing.

        Raises:
            HoldfastError: The server stayed away.
        """
        if self._clock() < self._due:
            return
        find_missing(self._channel, list(dict.fromkeys(digest for blocks in digests for digest in blocks)))
        self._due = self._clock() + KEEP_SECONDS
