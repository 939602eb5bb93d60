"""The audit log: conversion and calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast._audit_check import check_log
from holdfast._calls import Calls, build, collect
from holdfast._times import ms_from_proto, ms_to_proto
from holdfast.entities import AuditCheck, AuditRecord, AuditSegment, PagedList
from holdfast.v1 import audit_pb2
from holdfast.v1 import audit_service_pb2 as pb
from holdfast.v1.audit_service_pb2_grpc import AuditServiceStub

PAGE_SIZE = 1_000


class AuditCalls(Calls):
    """What a client does with the audit log. All need the role admin."""

    def list_audit_records(
        self,
        *,
        principal: str | None = None,
        resource: str | None = None,
        method: str | None = None,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        max_results: int | None = 100,
        page_token: str | None = None,
    ) -> PagedList[AuditRecord]:
        """Records that meet all conditions, by their numbers.

        Args:
            principal: Only changes by this one.
            resource: Only those of exactly this, such as ``"run/<id>"`` or ``"experiment/3"``.
            method: Only those by this RPC, such as ``"holdfast.v1.RunService/CreateRun"``.
            since: Only those from this time on, in milliseconds since 1970.
            until: Only those before this time.
            newest_first: The newest first; otherwise the oldest.
            max_results: At most so many; None for all.
            page_token: The ``token`` of the page before.
        """

        def fetch(size: int, token: str) -> tuple[Iterable[AuditRecord], str]:
            request = build(
                pb.ListAuditRecordsRequest,
                principal=principal or "",
                resource=resource or "",
                method=method or "",
                newest_first=newest_first,
                page_size=size,
                page_token=token,
            )
            if since is not None:
                request.since_time.CopyFrom(ms_to_proto(since))
            if until is not None:
                request.until_time.CopyFrom(ms_to_proto(until))
            page = self._channel.call(self._audit.ListAuditRecords, request)
            return map(_record_from_proto, page.records), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def list_audit_segments(self) -> list[AuditSegment]:
        """All segments, the first one first."""

        def fetch(size: int, token: str) -> tuple[Iterable[AuditSegment], str]:
            request = build(pb.ListAuditSegmentsRequest, page_size=size, page_token=token)
            page = self._channel.call(self._audit.ListAuditSegments, request)
            return map(_segment_from_proto, page.segments), page.next_page_token

        return collect(fetch, max_results=None, page_size=PAGE_SIZE, token=None)

    def verify_audit_log(self, *, expect: str | None = None) -> AuditCheck:
        """Compute the hashes of all segments here, and tell what does not fit.

        Records that were changed, removed, put in or moved are found; that the end was cut off, or all written anew,
        only with ``expect``: the ``head`` of an earlier check, which was kept where who writes to the server does not.

        Raises:
            InvalidArgumentError: ``expect`` is no head.
        """
        # Segments first: what is sealed while the records are read counts as not sealed.
        segments = self.list_audit_segments()
        return check_log(segments, self._all_audit_records(), expect)

    def _all_audit_records(self) -> Iterator[AuditRecord]:
        token: str | None = None
        while True:
            page = self.list_audit_records(max_results=PAGE_SIZE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    @property
    def _audit(self) -> AuditServiceStub:
        return self._channel.stub(AuditServiceStub)


def _record_from_proto(proto: audit_pb2.AuditRecord) -> AuditRecord:
    return AuditRecord(
        number=proto.number,
        time=ms_from_proto(proto.time),
        last_time=ms_from_proto(proto.last_time),
        count=proto.count,
        principal=proto.principal,
        token_id=proto.token_id,
        method=proto.method,
        resources=tuple(proto.resources),
        request_id=proto.request_id,
        details=proto.details,
    )


def _segment_from_proto(proto: audit_pb2.AuditSegment) -> AuditSegment:
    return AuditSegment(
        number=proto.number,
        first_number=proto.first_number,
        last_number=proto.last_number,
        seal_time=ms_from_proto(proto.seal_time),
        previous_hash=proto.previous_hash.hex(),
        hash=proto.hash.hex(),
    )
