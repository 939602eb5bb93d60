"""Sends what processes left that ended before the server had it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from holdfast._channel import Channel
from holdfast._config import parse_target
from holdfast._journal.aside import Aside
from holdfast._journal.delivery import Delivery
from holdfast._journal.folder import Folder, Owner, folders, journal_root
from holdfast._journal.reading import Outgoing, Reader
from holdfast._journal.segment import Segment
from holdfast.entities import SyncedJournal
from holdfast.errors import HoldfastError


def sync(
    *,
    dry_run: bool = False,
    wanted: Callable[[Owner], bool] = lambda _owner: True,
    patience: float | None = None,
) -> list[SyncedJournal]:
    """Send the journals that no living process holds, oldest first, and remove what is delivered whole.

    However often it is sent, each point arrives once: the server keeps how far it has each stream, without end.

    Args:
        dry_run: Send nothing; tell what waits.
        wanted: Which journals.
        patience: Seconds to wait for a server that is away; None for a client's usual ones.
    """
    try:
        root = journal_root()
    except RuntimeError:  # a user without a home, who has no journal either
        return []
    return list(_sync(root, wanted, None if dry_run else lambda left: left.send(patience)))


def _sync(root: Path, wanted: Callable[[Owner], bool], send: Callable[[_Left], None] | None) -> Iterator[SyncedJournal]:
    for path in folders(root):
        folder = Folder.take(path)
        if folder is None:
            continue
        done = False
        try:
            if wanted(folder.owner):
                left = _Left(folder)
                try:
                    if send is not None:
                        send(left)
                    result = left.told()
                finally:
                    left.close()
                done = send is not None and not result.error and not result.waiting and not folder.holds_refusals()
                yield result
        finally:
            if done:
                folder.remove()
            else:
                folder.let_go()


class _Left:
    """A journal that a process left."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._aside = Aside(lambda: folder)
        self._readers: list[Reader] = []
        self._sent = self._refused = 0
        self._error = ""
        for path in folder.segments():
            try:
                self._readers.append(Reader(Segment.open(path)))
            except (OSError, ValueError) as error:
                self._error = self._error or str(error)

    def close(self) -> None:
        """Let go of the files."""
        self._aside.close()
        for reader in self._readers:
            reader.segment.close()

    def told(self) -> SyncedJournal:
        """What is with it."""
        owner = self._folder.owner
        return SyncedJournal(
            path=str(self._folder.path),
            uri=owner.uri,
            pid=owner.pid,
            host=owner.host,
            program=owner.program,
            since=round(owner.since * 1_000),
            sent=self._sent,
            waiting=sum(reader.count() for reader in self._readers),
            refused=self._refused,
            error=self._error,
        )

    def send(self, patience: float | None) -> None:
        """Send it, as far as that goes."""
        channel: Channel | None = None
        try:
            channel = Channel(parse_target(self._folder.owner.uri))
            # What fails is kept and tried again by the next sync, so that one attempt is enough.
            delivery = Delivery(channel, self._refuse, attempts=1)
            while self._readers:
                self._send_segment(delivery, self._readers[0], patience)
                self._readers.pop(0).segment.remove()
        except (HoldfastError, ValueError) as error:
            self._error = str(error)
        finally:
            if channel is not None:
                channel.close()

    def _send_segment(self, delivery: Delivery, reader: Reader, patience: float | None) -> None:
        for outgoing in reader.requests(reader.segment.end):
            refused = self._refused
            if outgoing.request is not None:
                delivery.send(outgoing, patience=patience)
            if outgoing.position:
                reader.segment.note_delivered(outgoing.position)
                self._sent += outgoing.weight
            self._sent -= self._refused - refused

    def _refuse(self, outgoing: Outgoing, error: HoldfastError) -> None:
        self._aside.add(outgoing)
        self._refused += outgoing.weight
        self._error = str(error)
