"""AuditService over gRPC."""

from __future__ import annotations

from typing import Any

from holdfast.v1 import audit_service_pb2 as pb
from holdfast.v1 import audit_service_pb2_grpc
from holdfast_server.domain.audit import AuditFilter
from holdfast_server.domain.names import shown
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.audited import AUDITED
from holdfast_server.rpc.convert import audit as convert
from holdfast_server.rpc.convert.times import optional_ms_from_proto
from holdfast_server.rpc.paging import BUDGET, page_limit
from holdfast_server.services.ports.database import Database, Transaction
from holdfast_server.services.search.page_token import open_token, seal_token

MAX_PAGE = 1_000


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Tells who changed what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListAuditRecords(self, request: pb.ListAuditRecordsRequest, context: Any) -> pb.ListAuditRecordsResponse:
        """Page through records."""
        limit = page_limit(request.page_size, default=100, maximum=MAX_PAGE)
        _check_method(request.method)
        wanted = AuditFilter(
            principal=request.principal,
            resource=request.resource,
            method=request.method,
            since=optional_ms_from_proto(request, "since_time"),
            until=optional_ms_from_proto(request, "until_time"),
        )
        bound = ("ListAuditRecords", wanted, request.newest_first)

        def job(tx: Transaction) -> pb.ListAuditRecordsResponse:
            place = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            after = int(place[0]) if place else None
            found = tx.audit.list_records(wanted, after, limit + 1, newest_first=request.newest_first)
            response, size = pb.ListAuditRecordsResponse(), 0
            for record in found[:limit]:
                message = convert.record_to_proto(record)
                size += message.ByteSize()
                if size > BUDGET and response.records:
                    break
                response.records.append(message)
            if len(response.records) < len(found):
                last = response.records[-1].number
                response.next_page_token = seal_token(tx.page_token_key, bound, (last,))
            return response

        return await self._database.read(job)

    async def ListAuditSegments(
        self, request: pb.ListAuditSegmentsRequest, context: Any
    ) -> pb.ListAuditSegmentsResponse:
        """Page through segments."""
        limit = page_limit(request.page_size, default=100, maximum=MAX_PAGE)
        bound = ("ListAuditSegments",)

        def job(tx: Transaction) -> pb.ListAuditSegmentsResponse:
            place = open_token(tx.page_token_key, bound, request.page_token) if request.page_token else None
            found = tx.audit.list_segments(int(place[0]) if place else 0, limit + 1)
            response = pb.ListAuditSegmentsResponse(segments=map(convert.segment_to_proto, found[:limit]))
            if len(found) > limit:
                response.next_page_token = seal_token(tx.page_token_key, bound, (found[limit - 1].number,))
            return response

        return await self._database.read(job)


def _check_method(method: str) -> None:
    """Refuse an RPC that no record can name, which would find nothing: that reads as if nobody had called it."""
    if method and method not in AUDITED:
        raise InvalidArgument(
            f"{shown(method)} is no RPC that is written down: one that changes something, such as"
            " holdfast.v1.RunService/CreateRun.",
            field="method",
        )
