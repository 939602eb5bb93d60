"""ServerService over gRPC: tells about the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from holdfast.v1 import server_service_pb2 as pb
from holdfast.v1 import server_service_pb2_grpc as service_grpc
from holdfast_server.services.ports.database import Clock
from holdfast_server.services.readiness import Readiness


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is told of a server besides what was tried out.

    Attributes:
        services: Full names of those that it offers.
        sqlite_version: Such as ``3.53.4``.
        sqlite_journal: ``wal`` or ``delete``.
        store_is_s3: Whether blocks are in S3.
        disk: Free and all bytes of the file system that the data directory is on; blocks.
    """

    services: Sequence[str]
    sqlite_version: str
    sqlite_journal: str
    store_is_s3: bool
    disk: Callable[[], tuple[int, int]]


class ServerServicer(service_grpc.ServerServiceServicer):
    """Implements ``holdfast.v1.ServerService``."""

    def __init__(self, facts: ServerFacts, readiness: Readiness, clock: Clock) -> None:
        self._facts, self._readiness, self._clock = facts, readiness, clock

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> pb.GetServerInfoResponse:
        """Answer what runs here, and whether it works."""
        facts = self._facts
        findings = await self._readiness.recent()
        free, total = await asyncio.get_running_loop().run_in_executor(None, facts.disk)
        response = pb.GetServerInfoResponse(
            server_version=version("holdfast"),
            services=facts.services,
            sqlite_version=facts.sqlite_version,
            sqlite_journal=facts.sqlite_journal,
            data_free_bytes=free,
            data_total_bytes=total,
            store_is_s3=facts.store_is_s3,
        )
        for name, finding in findings.items():
            check = response.checks.add(name=name, problem=finding.problem)
            check.duration.FromNanoseconds(round(finding.seconds * 1e9))
        response.server_time.FromMilliseconds(self._clock.now_ms())  # last, as it is compared with when it arrives
        return response
