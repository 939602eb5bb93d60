"""The audit log as messages."""

from __future__ import annotations

from holdfast.v1 import audit_pb2
from holdfast_server.domain.audit import AuditRecord, AuditSegment
from holdfast_server.rpc.convert.times import ms_to_proto


def record_to_proto(record: AuditRecord) -> audit_pb2.AuditRecord:
    """A record as a message."""
    return audit_pb2.AuditRecord(
        number=record.number,
        time=ms_to_proto(record.time),
        last_time=ms_to_proto(record.last_time),
        count=record.count,
        principal=record.principal,
        token_id=record.token_id,
        method=record.method,
        resources=record.resources,
        request_id=record.request_id,
        details=record.details,
    )


def segment_to_proto(segment: AuditSegment) -> audit_pb2.AuditSegment:
    """A segment as a message."""
    return audit_pb2.AuditSegment(
        number=segment.number,
        first_number=segment.first_number,
        last_number=segment.last_number,
        seal_time=ms_to_proto(segment.seal_time),
        previous_hash=segment.previous_hash,
        hash=segment.hash,
    )
