"""gRPC's own health service, told what was found when the server was tried out."""

from __future__ import annotations

from collections.abc import Mapping

from grpc_health.v1 import health, health_pb2

from holdfast_server.rpc.registration import SERVICES
from holdfast_server.services.readiness import Finding

# Those that cannot work without the block store.
NEED_STORE = {f"holdfast.v1.{name}Service" for name in ("Artifact", "LiveArtifact", "Storage")}


class HealthReport:
    """Says of each service, and of all (""), whether it serves."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()

    async def report(self, findings: Mapping[str, Finding]) -> None:
        """Tell those who ask what was found of ``database`` and ``store``; what was not tried out counts as fine."""
        failed = {name for name, finding in findings.items() if not finding.is_fine}
        for service in ("", *SERVICES):
            needs = {"database", "store"} if not service or service in NEED_STORE else {"database"}
            serving = service == health.SERVICE_NAME or not failed & needs
            status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
            await self.servicer.set(service, status)

    async def drain(self) -> None:
        """Say from here on that nothing serves any more."""
        await self.servicer.enter_graceful_shutdown()
