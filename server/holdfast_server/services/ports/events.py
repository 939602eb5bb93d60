"""Repositories of events, and of the leases of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast_server.domain.event import Event, Scope


class EventRepository(Protocol):
    """What changed, in the order in which it was committed."""

    def append(self, event: Event) -> None:
        """Record an event, with the transaction's time and the next sequence."""
        ...

    def newest(self) -> int:
        """The sequence of the newest event ever; 0 when there was none."""
        ...

    def forgotten(self) -> int:
        """The sequence up to which events are not kept any more; 0 when all are."""
        ...

    def list_all(self, after: int, limit: int) -> list[Event]:
        """Events behind ``after``, in their order."""
        ...

    def list_of(self, scope: Scope, after: int, limit: int) -> list[Event]:
        """Events of a scope behind ``after``, in their order."""
        ...


class RunLeaseRepository(Protocol):
    """Leases of running runs, which their clients renew."""

    def hold(self, run_number: int, length_ms: int, *, embedded: bool) -> None:
        """Take or renew a lease from now on; the run is not lost."""
        ...

    def renew(self, run_number: int) -> bool:
        """Renew a lease for as long as before, if the run has one that was ever taken; whether it is not lost now."""
        ...

    def release(self, run_number: int) -> None:
        """End a lease, if there is one; the run is not lost."""
        ...

    def can_expire(self) -> bool:
        """Whether there are leases that have not run out."""
        ...

    def last_beat(self) -> int:
        """When a server last looked after the leases."""
        ...

    def beat(self) -> None:
        """Record that a server does so now."""
        ...

    def prolong(self, since_ms: int) -> None:
        """Let the time from ``since_ms`` until now not count, for leases that have not run out."""
        ...

    def expire_embedded(self) -> None:
        """End at once what was held through an embedded server."""
        ...

    def list_expired(self, limit: int) -> Sequence[str]:
        """Ids of runs that are to be marked as lost now; leases of runs that do not go on are removed."""
        ...

    def set_lost(self, run_number: int) -> None:
        """Mark a run as lost."""
        ...
