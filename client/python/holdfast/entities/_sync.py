"""What ``holdfast.sync`` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedJournal:
    """A journal that a process left, and what became of it.

    Attributes:
        path: Its directory, which is removed when all of it has arrived.
        uri: The server that it is for.
        pid: The process that wrote it.
        host: The machine that this ran on.
        program: What it ran.
        since: When it began, milliseconds since 1970.
        sent: Points and changes that have arrived now.
        waiting: Those that have not.
        refused: Those that the server refused; they are kept.
        error: Why not all has arrived; empty when it has.
    """

    path: str
    uri: str
    pid: int
    host: str
    program: str
    since: int
    sent: int = 0
    waiting: int = 0
    refused: int = 0
    error: str = ""
