"""A request for each RPC, about resources that are there or about such that are not."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tests.rpc.access_api import Caller

from holdfast.v1 import (
    access_pb2,
    access_service_pb2,
    artifact_pb2,
    artifact_service_pb2,
    audit_service_pb2,
    experiment_service_pb2,
    live_artifact_service_pb2,
    model_pb2,
    model_registry_service_pb2,
    model_service_pb2,
    run_pb2,
    run_service_pb2,
    server_service_pb2,
    storage_service_pb2,
)

DATA = b"some bytes"
DIGEST = hashlib.sha256(DATA).digest()


@dataclass
class There:
    """Makes resources, as the owner of the server."""

    owner: Caller
    names: list[str] = field(default_factory=list)

    async def experiment(self) -> str:
        request = experiment_service_pb2.CreateExperimentRequest(name=secrets.token_hex(8))
        made = await self.owner.experiments.CreateExperiment(request)
        return self._known(made.experiment.experiment_id)

    async def run(self) -> str:
        request = run_service_pb2.CreateRunRequest(experiment_id=await self.experiment())
        made = await self.owner.runs.CreateRun(request)
        header = artifact_service_pb2.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=made.run.run_id))
        await self.owner.artifacts.CommitFiles(iter(commit(header)))
        return self._known(made.run.run_id)

    async def model(self) -> str:
        request = model_service_pb2.CreateLoggedModelRequest(experiment_id=await self.experiment())
        return self._known((await self.owner.models.CreateLoggedModel(request)).model.model_id)

    async def registered(self) -> str:
        name = self._known(f"m{secrets.token_hex(8)}")
        await self.owner.registry.CreateRegisteredModel(
            model_registry_service_pb2.CreateRegisteredModelRequest(name=name)
        )
        for _ in range(2):
            source = f"runs:/{await self.run()}/a"
            request = model_registry_service_pb2.CreateModelVersionRequest(name=name, source=source)
            await self.owner.registry.CreateModelVersion(request)
        alias = model_registry_service_pb2.SetAliasRequest(name=name, alias="prod", version=1)
        await self.owner.registry.SetAlias(alias)
        return name

    async def live(self) -> tuple[str, str]:
        request = live_artifact_service_pb2.OpenLiveArtifactRequest(
            owner=artifact_pb2.TreeOwner(run_id=await self.run()), path="log", mode="OPEN_MODE_CREATE"
        )
        opened = await self.owner.live.OpenLiveArtifact(request)
        return self._known(opened.live_artifact.live_id), opened.writer

    async def token(self) -> str:
        request = access_service_pb2.CreateTokenRequest(
            principal=await self.principal(), new_principal_role=access_pb2.ROLE_NONE
        )
        return (await self.owner.access.CreateToken(request)).token.token_id

    async def principal(self) -> str:
        name = self._known(f"p{secrets.token_hex(8)}")
        request = access_service_pb2.SetPrincipalRequest(name=name, role=access_pb2.ROLE_NONE)
        await self.owner.access.SetPrincipal(request)
        return name

    def _known(self, name: str) -> str:
        self.names.append(name)
        return name


@dataclass
class Absent:
    """Names resources that nobody made."""

    names: list[str] = field(default_factory=list)

    async def experiment(self) -> str:
        return self._known(str(10**9 + secrets.randbelow(10**9)))

    async def run(self) -> str:
        return self._known(secrets.token_hex(16))

    async def model(self) -> str:
        return self._known(f"m-{secrets.token_hex(16)}")

    async def registered(self) -> str:
        return self._known(f"m{secrets.token_hex(8)}")

    async def live(self) -> tuple[str, str]:
        return self._known(secrets.token_hex(16)), secrets.token_hex(16)

    async def token(self) -> str:
        return secrets.token_hex(8)

    async def principal(self) -> str:
        return self._known(f"p{secrets.token_hex(8)}")

    def _known(self, name: str) -> str:
        self.names.append(name)
        return name


World = There | Absent
Make = Callable[[World], Awaitable[Message | list[Message]]]


def commit(header: artifact_service_pb2.CommitHeader) -> list[artifact_service_pb2.CommitFilesRequest]:
    """A commit of one small file."""
    part = artifact_service_pb2.CommitFilesRequest
    entry = artifact_service_pb2.NewEntry(
        path="a/file", kind="ENTRY_KIND_FILE", size=len(DATA), inline_data=DATA, digest=DIGEST
    )
    return [
        part(header=header),
        part(entries=artifact_service_pb2.CommitEntries(entries=[entry])),
        part(end=artifact_service_pb2.CommitEnd(entry_count=1)),
    ]


def of(message: type[Message], **fields: str | Any) -> Make:
    """Makes a message; ``@kind`` is a resource of a world, and callables take the world."""

    async def make(world: World) -> Message:
        return message(**{name: await _value(world, value) for name, value in fields.items()})

    return make


async def _value(world: World, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return await getattr(world, value[1:])()
    if callable(value):
        return await value(world)
    return value


async def _run_owner(world: World) -> artifact_pb2.TreeOwner:
    return artifact_pb2.TreeOwner(run_id=await world.run())


async def _commit(world: World) -> list[Message]:
    return [*commit(artifact_service_pb2.CommitHeader(owner=await _run_owner(world)))]


async def _write_blocks(_world: World) -> list[Message]:
    block = artifact_pb2.Block(digest=DIGEST, data=DATA)
    return [artifact_service_pb2.WriteBlocksRequest(blocks=[block])]


async def _reflect(_world: World) -> list[Message]:
    return [reflection_pb2.ServerReflectionRequest(list_services="")]


async def _append(world: World) -> Message:
    live_id, writer = await world.live()
    return live_artifact_service_pb2.AppendLiveArtifactRequest(live_id=live_id, writer=writer, data=DATA, digest=DIGEST)


async def _close(world: World) -> Message:
    live_id, writer = await world.live()
    return live_artifact_service_pb2.CloseLiveArtifactRequest(live_id=live_id, writer=writer)


async def _live_id(world: World) -> str:
    return (await world.live())[0]


async def _grant(world: World) -> Message:
    resource = access_pb2.AccessResource(experiment_id=await world.experiment())
    return access_service_pb2.SetGrantRequest(
        principal=await world.principal(), resource=resource, role=access_pb2.ROLE_READ
    )


async def _new_name(_world: World) -> str:
    return f"n{secrets.token_hex(8)}"


async def _run_uri(world: World) -> str:
    return f"runs:/{await world.run()}/a"


async def _version_uri(world: World) -> str:
    return f"models:/{await world.registered()}/1"


async def _points(world: World) -> list[run_pb2.Metric]:
    return [run_pb2.Metric(key="loss", value=1.0, model_id=await world.model())]


async def _input(world: World) -> list[run_pb2.ModelInput]:
    return [run_pb2.ModelInput(model_id=await world.model())]


async def _output(world: World) -> list[run_pb2.ModelOutput]:
    return [run_pb2.ModelOutput(model_id=await world.model())]


async def _ids(world: World) -> list[str]:
    return [await world.experiment()]


async def _run_ids(world: World) -> list[str]:
    return [await world.run()]


_A, _X, _E = access_service_pb2, artifact_service_pb2, experiment_service_pb2
_L, _M, _G = live_artifact_service_pb2, model_service_pb2, model_registry_service_pb2
_R, _S = run_service_pb2, storage_service_pb2
REQUESTS: dict[str, Make] = {
    "/grpc.health.v1.Health/Check": of(health_pb2.HealthCheckRequest),
    "/grpc.health.v1.Health/Watch": of(health_pb2.HealthCheckRequest),
    "/grpc.health.v1.Health/List": of(health_pb2.HealthListRequest),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _reflect,
    "/holdfast.v1.AccessService/GetCaller": of(_A.GetCallerRequest),
    "/holdfast.v1.AccessService/CreateToken": of(_A.CreateTokenRequest, principal="@principal"),
    "/holdfast.v1.AccessService/CreateWorkerToken": of(_A.CreateWorkerTokenRequest, run_id="@run"),
    "/holdfast.v1.AccessService/ListTokens": of(_A.ListTokensRequest),
    "/holdfast.v1.AccessService/RevokeToken": of(_A.RevokeTokenRequest, token_id="@token"),
    "/holdfast.v1.AccessService/SetPrincipal": of(_A.SetPrincipalRequest, name="@principal", role=2),
    "/holdfast.v1.AccessService/DeletePrincipal": of(_A.DeletePrincipalRequest, name="@principal"),
    "/holdfast.v1.AccessService/ListPrincipals": of(_A.ListPrincipalsRequest),
    "/holdfast.v1.AccessService/SetGrant": _grant,
    "/holdfast.v1.AccessService/ListGrants": of(_A.ListGrantsRequest),
    "/holdfast.v1.ArtifactService/GetCapabilities": of(_X.GetCapabilitiesRequest),
    "/holdfast.v1.ArtifactService/FindMissingBlocks": of(_X.FindMissingBlocksRequest, digests=[DIGEST]),
    "/holdfast.v1.ArtifactService/WriteBlocks": _write_blocks,
    "/holdfast.v1.ArtifactService/CommitFiles": _commit,
    "/holdfast.v1.ArtifactService/GetTree": of(_X.GetTreeRequest, owner=_run_owner),
    "/holdfast.v1.ArtifactService/ListFiles": of(_X.ListFilesRequest, owner=_run_owner),
    "/holdfast.v1.ArtifactService/ResolveArtifact": of(_X.ResolveArtifactRequest, uri=_run_uri),
    "/holdfast.v1.ArtifactService/ReadFile": of(_X.ReadFileRequest, owner=_run_owner, path="a/file"),
    "/holdfast.v1.ArtifactService/ReadFiles": of(_X.ReadFilesRequest, owner=_run_owner, max_data_size=99),
    "/holdfast.v1.ArtifactService/ListFileBlocks": of(_X.ListFileBlocksRequest, owner=_run_owner, path="a/file"),
    "/holdfast.v1.ArtifactService/DeleteFiles": of(_X.DeleteFilesRequest, owner=_run_owner, paths=["a/file"]),
    "/holdfast.v1.AuditService/ListAuditRecords": of(audit_service_pb2.ListAuditRecordsRequest),
    "/holdfast.v1.AuditService/ListAuditSegments": of(audit_service_pb2.ListAuditSegmentsRequest),
    "/holdfast.v1.ExperimentService/CreateExperiment": of(_E.CreateExperimentRequest, name=_new_name),
    "/holdfast.v1.ExperimentService/GetExperiment": of(_E.GetExperimentRequest, experiment_id="@experiment"),
    "/holdfast.v1.ExperimentService/SearchExperiments": of(_E.SearchExperimentsRequest),
    "/holdfast.v1.ExperimentService/UpdateExperiment": of(
        _E.UpdateExperimentRequest, experiment_id="@experiment", name=_new_name
    ),
    "/holdfast.v1.ExperimentService/DeleteExperiment": of(_E.DeleteExperimentRequest, experiment_id="@experiment"),
    "/holdfast.v1.ExperimentService/RestoreExperiment": of(_E.RestoreExperimentRequest, experiment_id="@experiment"),
    "/holdfast.v1.ExperimentService/SetExperimentTags": of(_E.SetExperimentTagsRequest, experiment_id="@experiment"),
    "/holdfast.v1.ExperimentService/ListDatasets": of(_E.ListDatasetsRequest, experiment_ids=_ids),
    "/holdfast.v1.ExperimentService/WatchExperiment": of(_E.WatchExperimentRequest, experiment_id="@experiment"),
    "/holdfast.v1.LiveArtifactService/OpenLiveArtifact": of(
        _L.OpenLiveArtifactRequest, owner=_run_owner, path="log", mode=1
    ),
    "/holdfast.v1.LiveArtifactService/AppendLiveArtifact": _append,
    "/holdfast.v1.LiveArtifactService/CloseLiveArtifact": _close,
    "/holdfast.v1.LiveArtifactService/GetLiveArtifact": of(_L.GetLiveArtifactRequest, live_id=_live_id),
    "/holdfast.v1.LiveArtifactService/ListLiveArtifacts": of(_L.ListLiveArtifactsRequest, owner=_run_owner),
    "/holdfast.v1.LiveArtifactService/TailArtifact": of(_L.TailArtifactRequest, live_id=_live_id),
    "/holdfast.v1.ModelRegistryService/CreateRegisteredModel": of(_G.CreateRegisteredModelRequest, name=_new_name),
    "/holdfast.v1.ModelRegistryService/GetRegisteredModel": of(_G.GetRegisteredModelRequest, name="@registered"),
    "/holdfast.v1.ModelRegistryService/UpdateRegisteredModel": of(
        _G.UpdateRegisteredModelRequest, name="@registered", description="d"
    ),
    "/holdfast.v1.ModelRegistryService/DeleteRegisteredModel": of(_G.DeleteRegisteredModelRequest, name="@registered"),
    "/holdfast.v1.ModelRegistryService/SearchRegisteredModels": of(_G.SearchRegisteredModelsRequest),
    "/holdfast.v1.ModelRegistryService/CreateModelVersion": of(
        _G.CreateModelVersionRequest, name="@registered", source=_run_uri
    ),
    "/holdfast.v1.ModelRegistryService/GetModelVersion": of(_G.GetModelVersionRequest, name="@registered", version=1),
    "/holdfast.v1.ModelRegistryService/UpdateModelVersion": of(
        _G.UpdateModelVersionRequest, name="@registered", version=1, description="d"
    ),
    "/holdfast.v1.ModelRegistryService/DeleteModelVersion": of(
        _G.DeleteModelVersionRequest, name="@registered", version=1
    ),
    "/holdfast.v1.ModelRegistryService/SearchModelVersions": of(_G.SearchModelVersionsRequest),
    "/holdfast.v1.ModelRegistryService/CopyModelVersion": of(
        _G.CopyModelVersionRequest, source=_version_uri, name="@registered"
    ),
    "/holdfast.v1.ModelRegistryService/PromoteModelVersion": of(
        _G.PromoteModelVersionRequest, name="@registered", version=1, description="d"
    ),
    "/holdfast.v1.ModelRegistryService/SetAlias": of(_G.SetAliasRequest, name="@registered", alias="a", version=1),
    "/holdfast.v1.ModelRegistryService/DeleteAlias": of(_G.DeleteAliasRequest, name="@registered", alias="a"),
    "/holdfast.v1.ModelRegistryService/WatchRegisteredModel": of(_G.WatchRegisteredModelRequest, name="@registered"),
    "/holdfast.v1.ModelRegistryService/ListRegistryHistory": of(_G.ListRegistryHistoryRequest, name="@registered"),
    "/holdfast.v1.ModelService/CreateLoggedModel": of(_M.CreateLoggedModelRequest, experiment_id="@experiment"),
    "/holdfast.v1.ModelService/GetLoggedModel": of(_M.GetLoggedModelRequest, model_id="@model"),
    "/holdfast.v1.ModelService/FinalizeLoggedModel": of(
        _M.FinalizeLoggedModelRequest, model_id="@model", status=model_pb2.LOGGED_MODEL_STATUS_READY
    ),
    "/holdfast.v1.ModelService/UpdateLoggedModel": of(_M.UpdateLoggedModelRequest, model_id="@model"),
    "/holdfast.v1.ModelService/DeleteLoggedModel": of(_M.DeleteLoggedModelRequest, model_id="@model"),
    "/holdfast.v1.ModelService/RestoreLoggedModel": of(_M.RestoreLoggedModelRequest, model_id="@model"),
    "/holdfast.v1.ModelService/SearchLoggedModels": of(_M.SearchLoggedModelsRequest, experiment_ids=_ids),
    "/holdfast.v1.RunService/CreateRun": of(_R.CreateRunRequest, experiment_id="@experiment"),
    "/holdfast.v1.RunService/GetRun": of(_R.GetRunRequest, run_id="@run"),
    "/holdfast.v1.RunService/UpdateRun": of(_R.UpdateRunRequest, run_id="@run", status=3),
    "/holdfast.v1.RunService/DeleteRun": of(_R.DeleteRunRequest, run_id="@run"),
    "/holdfast.v1.RunService/RestoreRun": of(_R.RestoreRunRequest, run_id="@run"),
    "/holdfast.v1.RunService/SearchRuns": of(_R.SearchRunsRequest, experiment_ids=_ids),
    "/holdfast.v1.RunService/StreamRuns": of(_R.StreamRunsRequest, all_experiments=True),
    "/holdfast.v1.RunService/LogBatch": of(_R.LogBatchRequest, run_id="@run", metrics=_points),
    "/holdfast.v1.RunService/LogInputs": of(_R.LogInputsRequest, run_id="@run", models=_input),
    "/holdfast.v1.RunService/LogOutputs": of(_R.LogOutputsRequest, run_id="@run", models=_output),
    "/holdfast.v1.RunService/GetMetricChart": of(_R.GetMetricChartRequest, run_id="@run", key="loss"),
    "/holdfast.v1.RunService/ListMetricHistory": of(_R.ListMetricHistoryRequest, run_id="@run", key="loss"),
    "/holdfast.v1.RunService/ListMetricPoints": of(_R.ListMetricPointsRequest, run_id="@run"),
    "/holdfast.v1.RunService/RenewLeases": of(_R.RenewLeasesRequest, run_ids=_run_ids),
    "/holdfast.v1.RunService/WatchRun": of(_R.WatchRunRequest, run_id="@run"),
    "/holdfast.v1.ServerService/GetServerInfo": of(server_service_pb2.GetServerInfoRequest),
    "/holdfast.v1.StorageService/CollectGarbage": of(_S.CollectGarbageRequest, dry_run=True),
    "/holdfast.v1.StorageService/CheckStorage": of(_S.CheckStorageRequest),
    "/holdfast.v1.StorageService/GetStorageUsage": of(_S.GetStorageUsageRequest),
}
