"""What the runner tells a client's process, and what that answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One measured operation.

    Attributes:
        peer: A module of this package.
        operation: ``up``, ``down``, ``tracking``, or one of ``benchmarks.clients.latency``.
        address: ``host:port`` of the server.
        sources: The local file or directory to upload, several to upload by as many threads, what is measured of
            tracking with its arguments, or what an upload
            returned as ``remote``.
        target: A fresh directory to download to.
        seconds: How long operations last that are repeated.
    """

    peer: str
    operation: str
    address: str
    sources: tuple[str, ...] = ()
    target: str = ""
    seconds: float = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one process measured of itself.

    Attributes:
        start: On the machine's monotonic clock, which processes share.
        end: On the same.
        cpu: Seconds.
        memory_before: Resident bytes before the call.
        memory_peak: The most during the call.
        remote: Names an upload for a download.
        figures: What else was found.
    """

    start: float
    end: float
    cpu: float
    memory_before: int
    memory_peak: int
    remote: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
