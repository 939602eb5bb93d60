"""What a process knows that is one of several, and how it tells its parent that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a worker says once it serves.

    Attributes:
        line: For people: where, and with which data.
        metrics_port: Its port for metrics; 0 for none.
    """

    line: str
    metrics_port: int = 0

    def to_bytes(self) -> bytes:
        """One line for the pipe to the parent."""
        return json.dumps({"line": self.line, "metrics_port": self.metrics_port}).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Announcement:
        """The inverse of ``to_bytes``."""
        return cls(**json.loads(data))


@dataclass(frozen=True, slots=True)
class WorkerRole:
    """One of several processes.

    Attributes:
        number: From 1. The first alone has what one process only can bind: Unix sockets, that of the owner among them.
        pipe: Descriptor on which it announces itself.
    """

    number: int
    pipe: int

    @property
    def is_first(self) -> bool:
        """Whether it has the Unix sockets."""
        return self.number == 1

    def announce(self, announcement: Announcement) -> None:
        """Tell the parent, once."""
        with contextlib.suppress(BrokenPipeError):  # it is gone, which ends this one, too
            os.write(self.pipe, announcement.to_bytes())
        os.close(self.pipe)

    def when_orphaned(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """Call ``stop`` when the parent is gone, however it went: its end of the pipe that is our input is closed."""

        def ended() -> None:
            loop.remove_reader(sys.stdin)
            stop()

        loop.add_reader(sys.stdin, ended)
