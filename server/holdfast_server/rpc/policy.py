"""Which role each RPC needs, and on what: the one table of it. ``tests/rpc/test_policy.py`` fails for an RPC not in it.

Writing does not delete, and registering does not promote: these need MANAGE.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from holdfast_server.domain.access import Role
from holdfast_server.rpc import workers
from holdfast_server.rpc.places import (
    Find,
    anywhere,
    each,
    experiment,
    experiment_named,
    experiment_or_run,
    live_artifact,
    model,
    models_among,
    owner,
    registered_model,
    registered_model_or_server,
    run,
    server,
    snapshot,
    uri,
    watched,
)
from holdfast_server.rpc.workers import WorkerCheck


class Access(enum.Enum):
    """Who may call at all.

    PUBLIC: anyone, without a token. KNOWN: who shows a good token; lists leave out what it may not read.
    """

    PUBLIC = "public"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Need:
    """A role that a call needs on each of the places that it finds in the request.

    ``role`` may depend on the request.
    """

    role: Role | Callable[[Any], Role]
    find: Find

    def role_for(self, request: Any) -> Role:
        """The role that this request needs."""
        return self.role if isinstance(self.role, Role) else self.role(request)


@dataclass(frozen=True, slots=True)
class Rule:
    """What an RPC needs.

    Attributes:
        access: Who may call at all.
        needs: All of them must be met.
        first_message: Of a stream of requests: what is needed is found in the first of them, not before.
        worker: Tells of which requests a worker's token may make; None: of none.
    """

    access: Access = Access.KNOWN
    needs: tuple[Need, ...] = ()
    first_message: bool = field(default=False, kw_only=True)
    worker: WorkerCheck | None = field(default=None, kw_only=True)


def _needs(*pairs: tuple[Role | Callable[[Any], Role], Find]) -> Rule:
    return Rule(needs=tuple(Need(role, find) for role, find in pairs))


def _update_registered_model(request: Any) -> Role:
    """A new name moves what URIs name, and unpickling is a matter of trust: both are more than writing."""
    return Role.MANAGE if request.HasField("new_name") or request.HasField("pickle_forbidden") else Role.WRITE


def _update_version(request: Any) -> Role:
    """To change the stage is to promote."""
    return Role.MANAGE if request.stage else Role.WRITE


def _create_version(request: Any) -> Role:
    """Registering does not promote, so it needs more to give the version aliases at once."""
    return Role.MANAGE if request.aliases else Role.WRITE


READ, WRITE, MANAGE = Role.READ, Role.WRITE, Role.MANAGE
PUBLIC, KNOWN = Rule(Access.PUBLIC), Rule()
ADMIN = _needs((Role.ADMIN, server))
_SERVICES = {
    "grpc.health.v1.Health": {"Check": PUBLIC, "Watch": PUBLIC, "List": PUBLIC},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": KNOWN},
    "holdfast.v1.AccessService": {
        "GetCaller": KNOWN,
        "CreateToken": ADMIN,
        "CreateWorkerToken": _needs((WRITE, run())),
        "ListTokens": ADMIN,
        "RevokeToken": ADMIN,
        "SetPrincipal": ADMIN,
        "DeletePrincipal": ADMIN,
        "ListPrincipals": ADMIN,
        "SetGrant": ADMIN,
        "ListGrants": ADMIN,
    },
    "holdfast.v1.ArtifactService": {
        "GetCapabilities": KNOWN,
        # Blocks belong to nobody until they are committed.
        "FindMissingBlocks": _needs((WRITE, anywhere)),
        "WriteBlocks": _needs((WRITE, anywhere)),
        "CommitFiles": Rule(needs=(Need(WRITE, lambda tx, m, r: owner(tx, m.header, r)),), first_message=True),
        "GetTree": _needs((READ, snapshot)),
        "ListFiles": _needs((READ, snapshot)),
        "ResolveArtifact": _needs((READ, uri())),
        "ReadFile": _needs((READ, snapshot)),
        "ReadFiles": _needs((READ, snapshot)),
        "ListFileBlocks": _needs((READ, snapshot)),
        "DeleteFiles": _needs((MANAGE, owner)),
    },
    "holdfast.v1.AuditService": {"ListAuditRecords": ADMIN, "ListAuditSegments": ADMIN},
    "holdfast.v1.ExperimentService": {
        "CreateExperiment": _needs((WRITE, server), (READ, experiment_named("name"))),
        "GetExperiment": _needs((READ, each(experiment(), experiment_named("name")))),
        "SearchExperiments": KNOWN,
        "UpdateExperiment": _needs((WRITE, experiment()), (READ, experiment_named("name"))),
        "DeleteExperiment": _needs((MANAGE, experiment())),
        "RestoreExperiment": _needs((MANAGE, experiment())),
        "SetExperimentTags": _needs((WRITE, experiment())),
        "ListDatasets": KNOWN,
        "WatchExperiment": _needs((READ, watched("WatchExperiment", "experiment_id", experiment()))),
    },
    "holdfast.v1.LiveArtifactService": {
        "OpenLiveArtifact": _needs((WRITE, owner)),
        "AppendLiveArtifact": _needs((WRITE, live_artifact())),
        "CloseLiveArtifact": _needs((WRITE, live_artifact())),
        "GetLiveArtifact": _needs((READ, live_artifact())),
        "ListLiveArtifacts": _needs((READ, owner)),
        "TailArtifact": _needs((READ, each(uri(), live_artifact()))),
    },
    "holdfast.v1.ModelRegistryService": {
        "CreateRegisteredModel": _needs((WRITE, server), (READ, registered_model())),
        "GetRegisteredModel": _needs((READ, registered_model())),
        "UpdateRegisteredModel": _needs(
            (_update_registered_model, registered_model()), (READ, registered_model("new_name"))
        ),
        "DeleteRegisteredModel": _needs((MANAGE, registered_model())),
        "SearchRegisteredModels": KNOWN,
        "CreateModelVersion": _needs(
            (_create_version, registered_model_or_server(create="create_registered_model")), (READ, uri("source"))
        ),
        "GetModelVersion": _needs((READ, registered_model())),
        "UpdateModelVersion": _needs((_update_version, registered_model())),
        "DeleteModelVersion": _needs((MANAGE, registered_model())),
        "SearchModelVersions": KNOWN,
        "CopyModelVersion": _needs((WRITE, registered_model_or_server()), (READ, uri("source"))),
        "PromoteModelVersion": _needs((MANAGE, registered_model())),
        "SetAlias": _needs((MANAGE, registered_model())),
        "DeleteAlias": _needs((MANAGE, registered_model())),
        "WatchRegisteredModel": _needs((READ, watched("WatchRegisteredModel", "name", registered_model()))),
        "ListRegistryHistory": _needs((READ, registered_model())),
    },
    "holdfast.v1.ModelService": {
        "CreateLoggedModel": _needs((WRITE, each(experiment_or_run, run("source_run_id"), model()))),
        "GetLoggedModel": _needs((READ, model())),
        "FinalizeLoggedModel": _needs((WRITE, model())),
        "UpdateLoggedModel": _needs((WRITE, model())),
        "DeleteLoggedModel": _needs((MANAGE, model())),
        "RestoreLoggedModel": _needs((MANAGE, model())),
        "SearchLoggedModels": KNOWN,
    },
    "holdfast.v1.RunService": {
        "CreateRun": _needs((WRITE, each(experiment(default="0"), run()))),
        "GetRun": _needs((READ, run())),
        "UpdateRun": _needs((WRITE, run())),
        "DeleteRun": _needs((MANAGE, run())),
        "RestoreRun": _needs((MANAGE, run())),
        "SearchRuns": KNOWN,
        "StreamRuns": KNOWN,
        # Points of a logged model are kept with it, too.
        "LogBatch": _needs((WRITE, each(run(), models_among("metrics", "metric_columns.series")))),
        "LogInputs": _needs((WRITE, run()), (READ, models_among("models"))),
        "LogOutputs": _needs((WRITE, each(run(), models_among("models")))),
        "GetMetricChart": _needs((READ, run())),
        "ListMetricHistory": _needs((READ, run())),
        "ListMetricPoints": _needs((READ, run())),
        # It passes over runs that the caller may not write.
        "RenewLeases": KNOWN,
        "WatchRun": _needs((READ, watched("WatchRun", "run_id", run()))),
    },
    "holdfast.v1.ServerService": {"GetServerInfo": KNOWN},
    "holdfast.v1.StorageService": {
        "CollectGarbage": ADMIN,
        "CheckStorage": ADMIN,
        "GetStorageUsage": ADMIN,
    },
}
# What workers' tokens may do, with their one run. All of it writes.
_WORKERS: dict[str, WorkerCheck] = {
    "holdfast.v1.AccessService/GetCaller": workers.always,
    "holdfast.v1.ArtifactService/GetCapabilities": workers.always,
    "holdfast.v1.ArtifactService/FindMissingBlocks": workers.always,
    "holdfast.v1.ArtifactService/WriteBlocks": workers.always,
    "holdfast.v1.ArtifactService/CommitFiles": workers.commits,
    "holdfast.v1.LiveArtifactService/OpenLiveArtifact": workers.opens,
    "holdfast.v1.LiveArtifactService/AppendLiveArtifact": workers.writes_live,
    "holdfast.v1.LiveArtifactService/CloseLiveArtifact": workers.writes_live,
    "holdfast.v1.ModelService/CreateLoggedModel": workers.creates_model,
    "holdfast.v1.ModelService/FinalizeLoggedModel": workers.fills_model,
    "holdfast.v1.ModelService/UpdateLoggedModel": workers.fills_model,
    "holdfast.v1.RunService/UpdateRun": workers.in_run,
    "holdfast.v1.RunService/LogBatch": workers.logs,
    "holdfast.v1.RunService/LogInputs": workers.links,
    "holdfast.v1.RunService/LogOutputs": workers.links,
    "holdfast.v1.RunService/RenewLeases": workers.always,
}
POLICY = {
    f"/{service}/{name}": replace(rule, worker=_WORKERS.get(f"{service}/{name}"))
    for service, rules in _SERVICES.items()
    for name, rule in rules.items()
}
