"""The repository of the audit log."""

from __future__ import annotations

from typing import Protocol

from holdfast_server.domain.audit import AuditFilter, AuditRecord, AuditSegment, Change


class AuditRepository(Protocol):
    """Records of changes, and the segments that they are sealed in. What is sealed stays as it is."""

    def append(self, change: Change, *, coalesce: bool) -> None:
        """Write a change down.

        ``coalesce``: count it with one that is not sealed yet, of the same principal, token, method and resources.
        """
        ...

    def newest_segment(self) -> AuditSegment | None:
        """The segment sealed last."""
        ...

    def waiting(self) -> tuple[int, int]:
        """How many records are not sealed, and the time of the first of them; 0 and 0 for none."""
        ...

    def list_waiting(self, limit: int) -> list[AuditRecord]:
        """Records that are not sealed, in their order."""
        ...

    def seal(self, segment: AuditSegment) -> None:
        """Add a segment; its records count nothing more."""
        ...

    def list_records(
        self, wanted: AuditFilter, after: int | None, limit: int, *, newest_first: bool
    ) -> list[AuditRecord]:
        """Records by their numbers, behind ``after`` in that order; None: from the beginning."""
        ...

    def list_segments(self, after: int, limit: int) -> list[AuditSegment]:
        """Segments by their numbers, behind ``after``."""
        ...
