"""The services that every server offers, and how gRPC gets to know what implements them."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from holdfast.v1 import access_service_pb2_grpc as access_grpc
from holdfast.v1 import artifact_service_pb2_grpc as artifact_grpc
from holdfast.v1 import audit_service_pb2_grpc as audit_grpc
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import live_artifact_service_pb2_grpc as live_grpc
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import model_service_pb2_grpc as model_grpc
from holdfast.v1 import run_service_pb2_grpc as run_grpc
from holdfast.v1 import server_service_pb2_grpc as server_grpc
from holdfast.v1 import storage_service_pb2_grpc as storage_grpc

SERVICES = (
    "holdfast.v1.AccessService",
    "holdfast.v1.ArtifactService",
    "holdfast.v1.AuditService",
    "holdfast.v1.ExperimentService",
    "holdfast.v1.LiveArtifactService",
    "holdfast.v1.ModelService",
    "holdfast.v1.ModelRegistryService",
    "holdfast.v1.RunService",
    "holdfast.v1.ServerService",
    "holdfast.v1.StorageService",
    health.SERVICE_NAME,
)


def add_servicers(
    server: grpc.aio.Server,
    *,
    access: access_grpc.AccessServiceServicer,
    artifacts: artifact_grpc.ArtifactServiceServicer,
    audit: audit_grpc.AuditServiceServicer,
    experiments: experiment_grpc.ExperimentServiceServicer,
    live_artifacts: live_grpc.LiveArtifactServiceServicer,
    models: model_grpc.ModelServiceServicer,
    registry: registry_grpc.ModelRegistryServiceServicer,
    runs: run_grpc.RunServiceServicer,
    server_info: server_grpc.ServerServiceServicer,
    storage: storage_grpc.StorageServiceServicer,
    health: health.aio.HealthServicer,
) -> None:
    """Let a server that is not started yet answer all of ``SERVICES``."""
    access_grpc.add_AccessServiceServicer_to_server(access, server)
    artifact_grpc.add_ArtifactServiceServicer_to_server(artifacts, server)
    audit_grpc.add_AuditServiceServicer_to_server(audit, server)
    experiment_grpc.add_ExperimentServiceServicer_to_server(experiments, server)
    live_grpc.add_LiveArtifactServiceServicer_to_server(live_artifacts, server)
    model_grpc.add_ModelServiceServicer_to_server(models, server)
    registry_grpc.add_ModelRegistryServiceServicer_to_server(registry, server)
    run_grpc.add_RunServiceServicer_to_server(runs, server)
    server_grpc.add_ServerServiceServicer_to_server(server_info, server)
    storage_grpc.add_StorageServiceServicer_to_server(storage, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
