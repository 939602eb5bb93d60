"""Keeps what the server refused, so that nothing else waits for it and nothing is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from holdfast._journal.folder import Folder
from holdfast._journal.reading import Outgoing
from holdfast._journal.records import call_record
from holdfast._journal.segment import Segment


class Aside:
    """Segments of requests that were refused. ``sync`` tries them again.

    Args:
        folder: Tells where the journal is; None when it is in memory.
    """

    def __init__(self, folder: Callable[[], Folder | None]) -> None:
        self._folder = folder
        self._segments: list[Segment] = []

    @property
    def place(self) -> str:
        """Where they are, for a message."""
        path = self._segments[-1].path if self._segments else None
        return str(path) if path is not None else "memory, until this process ends"

    def add(self, outgoing: Outgoing) -> None:
        """Keep a request as it was sent, with its place in its stream, so that it never counts twice."""
        record = call_record(outgoing.method, outgoing.request.SerializeToString())
        if not self._segments or not self._segments[-1].append(record):
            self._segments.append(self._new_segment())
            self._segments[-1].append(record)

    def close(self) -> None:
        """Let go of the memory; files stay."""
        for segment in self._segments:
            segment.close()

    def _new_segment(self) -> Segment:
        folder = self._folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                return folder.new_refusals()
        return Segment.in_memory()
