"""Every call that changes something records what changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from tests.rpc.artifact_api import ArtifactApi, inline

from holdfast.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    experiment_pb2,
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    live_artifact_service_pb2,
    live_artifact_service_pb2_grpc,
    model_pb2,
    model_registry_service_pb2,
    model_registry_service_pb2_grpc,
    model_service_pb2,
    registered_model_pb2,
    run_pb2,
    run_service_pb2,
    storage_service_pb2,
)
from holdfast_server.app import App
from holdfast_server.domain.event import MAX_LISTED, MAX_VALUE, Change, Event, MetricChange

SERVICES = [
    artifact_service_pb2,
    experiment_service_pb2,
    live_artifact_service_pb2,
    model_registry_service_pb2,
    model_service_pb2,
    run_service_pb2,
    storage_service_pb2,
]
# What changes nothing that can be watched: reads and watches, blocks that no file needs yet, files that are still being
# written, upkeep; and leases, as long as no run was lost.
SILENT = {
    "AppendLiveArtifact",
    "CheckStorage",
    "CollectGarbage",
    "OpenLiveArtifact",
    "RenewLeases",
    "WriteBlocks",
}
READS = ("Find", "Get", "List", "Read", "Resolve", "Search", "Stream", "Tail", "Watch")

Tag = experiment_pb2.Tag


@dataclass
class World:
    """Something of every kind, and the stubs to change it by."""

    api: ArtifactApi
    experiments: Any
    runs: Any
    models: Any
    registry: Any
    live: Any
    experiment_id: str
    run_id: str
    model_id: str


@pytest.fixture
async def world(channel, api) -> World:
    experiments = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
    runs, models = api.runs, api.models
    registry = model_registry_service_pb2_grpc.ModelRegistryServiceStub(channel)
    experiment = await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="e"))
    experiment_id = experiment.experiment.experiment_id
    run = await runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id=experiment_id, run_name="first"))
    run_id = run.run.run_id
    await runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, tags=[Tag(key="old", value="1")]))
    owner = artifact_pb2.TreeOwner(run_id=run_id)
    await api.commit(owner, inline("model/MLmodel"))
    model = await models.CreateLoggedModel(
        model_service_pb2.CreateLoggedModelRequest(experiment_id=experiment_id, source_run_id=run_id, name="m")
    )
    source = f"runs:/{run_id}/model"
    await registry.CreateModelVersion(
        model_registry_service_pb2.CreateModelVersionRequest(name="m", source=source, create_registered_model=True)
    )
    await registry.CreateModelVersion(model_registry_service_pb2.CreateModelVersionRequest(name="m", source=source))
    await registry.SetAlias(model_registry_service_pb2.SetAliasRequest(name="m", alias="prod", version=1))
    live = live_artifact_service_pb2_grpc.LiveArtifactServiceStub(channel)
    return World(api, experiments, runs, models, registry, live, experiment_id, run_id, model.model.model_id)


async def recorded(app: App, after: int) -> list[Event]:
    return await app.database.read(lambda tx: tx.events.list_all(after, 1_000))


async def newest(app: App) -> int:
    return await app.database.read(lambda tx: tx.events.newest())


async def close_live(w: World) -> None:
    owner = artifact_pb2.TreeOwner(run_id=w.run_id)
    request = live_artifact_service_pb2.OpenLiveArtifactRequest(
        owner=owner, path="log", mode=live_artifact_service_pb2.OPEN_MODE_CREATE
    )
    opened = await w.live.OpenLiveArtifact(request)
    await w.live.CloseLiveArtifact(
        live_artifact_service_pb2.CloseLiveArtifactRequest(live_id=opened.live_artifact.live_id, writer=opened.writer)
    )


async def restore_experiment(w: World) -> None:
    await w.experiments.DeleteExperiment(experiment_service_pb2.DeleteExperimentRequest(experiment_id=w.experiment_id))
    await w.experiments.RestoreExperiment(
        experiment_service_pb2.RestoreExperimentRequest(experiment_id=w.experiment_id)
    )


async def restore_run(w: World) -> None:
    await w.runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=w.run_id))
    await w.runs.RestoreRun(run_service_pb2.RestoreRunRequest(run_id=w.run_id))


async def restore_model(w: World) -> None:
    await w.models.DeleteLoggedModel(model_service_pb2.DeleteLoggedModelRequest(model_id=w.model_id))
    await w.models.RestoreLoggedModel(model_service_pb2.RestoreLoggedModelRequest(model_id=w.model_id))


Do = Callable[[World], Awaitable[Any]]
_registry = model_registry_service_pb2
_STAGING = registered_model_pb2.MODEL_STAGE_STAGING

# For each call one that changes something, and the events it records: subject, type and fields.
CHANGES: dict[str, tuple[Do, list[tuple[str, str, list[str]]]]] = {
    "CreateExperiment": (
        lambda w: w.experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="x")),
        [("EXPERIMENT", "CREATED", ["name"])],
    ),
    "UpdateExperiment": (
        lambda w: w.experiments.UpdateExperiment(
            experiment_service_pb2.UpdateExperimentRequest(experiment_id=w.experiment_id, name="y")
        ),
        [("EXPERIMENT", "UPDATED", ["name"])],
    ),
    "SetExperimentTags": (
        lambda w: w.experiments.SetExperimentTags(
            experiment_service_pb2.SetExperimentTagsRequest(
                experiment_id=w.experiment_id, tags=[Tag(key="k", value="v")]
            )
        ),
        [("EXPERIMENT", "UPDATED", ["tags.k"])],
    ),
    "DeleteExperiment": (
        lambda w: w.experiments.DeleteExperiment(
            experiment_service_pb2.DeleteExperimentRequest(experiment_id=w.experiment_id)
        ),
        [("EXPERIMENT", "DELETED", [])],
    ),
    "RestoreExperiment": (restore_experiment, [("EXPERIMENT", "DELETED", []), ("EXPERIMENT", "RESTORED", [])]),
    "CreateRun": (
        lambda w: w.runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id=w.experiment_id)),
        [("RUN", "CREATED", ["name", "status"])],
    ),
    "UpdateRun": (
        lambda w: w.runs.UpdateRun(
            run_service_pb2.UpdateRunRequest(run_id=w.run_id, run_name="n", status=run_pb2.RUN_STATUS_FAILED)
        ),
        [("RUN", "UPDATED", ["name", "status"])],
    ),
    "DeleteRun": (
        lambda w: w.runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=w.run_id)),
        [("RUN", "DELETED", [])],
    ),
    "RestoreRun": (restore_run, [("RUN", "DELETED", []), ("RUN", "RESTORED", [])]),
    "LogBatch": (
        lambda w: w.runs.LogBatch(
            run_service_pb2.LogBatchRequest(
                run_id=w.run_id,
                metrics=[run_pb2.Metric(key="loss", value=1)],
                params=[run_pb2.Param(key="p", value="1")],
                tags=[Tag(key="t", value="1"), Tag(key="mlflow.runName", value="second")],
                deleted_tag_keys=["old"],
            )
        ),
        [
            ("RUN", "UPDATED", ["params.p", "tags.t", "tags.mlflow.runName", "tags.old", "name"]),
            ("RUN", "METRICS", ["loss"]),
        ],
    ),
    "LogInputs": (
        lambda w: w.runs.LogInputs(
            run_service_pb2.LogInputsRequest(
                run_id=w.run_id,
                datasets=[run_pb2.DatasetInput(dataset=run_pb2.Dataset(name="d", digest="1"))],
                models=[run_pb2.ModelInput(model_id=w.model_id)],
            )
        ),
        [("RUN", "UPDATED", ["dataset_inputs", "model_inputs"])],
    ),
    "LogOutputs": (
        lambda w: w.runs.LogOutputs(
            run_service_pb2.LogOutputsRequest(run_id=w.run_id, models=[run_pb2.ModelOutput(model_id=w.model_id)])
        ),
        [("RUN", "UPDATED", ["model_outputs"])],
    ),
    "CreateLoggedModel": (
        lambda w: w.models.CreateLoggedModel(
            model_service_pb2.CreateLoggedModelRequest(experiment_id=w.experiment_id, name="n")
        ),
        [("LOGGED_MODEL", "CREATED", ["name", "status"])],
    ),
    "FinalizeLoggedModel": (
        lambda w: w.models.FinalizeLoggedModel(
            model_service_pb2.FinalizeLoggedModelRequest(
                model_id=w.model_id, status=model_pb2.LOGGED_MODEL_STATUS_READY
            )
        ),
        [("LOGGED_MODEL", "UPDATED", ["status"])],
    ),
    "UpdateLoggedModel": (
        lambda w: w.models.UpdateLoggedModel(
            model_service_pb2.UpdateLoggedModelRequest(
                model_id=w.model_id, params=[run_pb2.Param(key="p", value="1")], tags=[Tag(key="t", value="1")]
            )
        ),
        [("LOGGED_MODEL", "UPDATED", ["params.p", "tags.t"])],
    ),
    "DeleteLoggedModel": (
        lambda w: w.models.DeleteLoggedModel(model_service_pb2.DeleteLoggedModelRequest(model_id=w.model_id)),
        [("LOGGED_MODEL", "DELETED", [])],
    ),
    "RestoreLoggedModel": (restore_model, [("LOGGED_MODEL", "DELETED", []), ("LOGGED_MODEL", "RESTORED", [])]),
    "CommitFiles": (
        lambda w: w.api.commit(artifact_pb2.TreeOwner(model_id=w.model_id), inline("a")),
        [("LOGGED_MODEL", "ARTIFACTS", ["artifacts"])],
    ),
    "DeleteFiles": (
        lambda w: w.api.stub.DeleteFiles(
            artifact_service_pb2.DeleteFilesRequest(owner=artifact_pb2.TreeOwner(run_id=w.run_id), paths=["model"])
        ),
        [("RUN", "ARTIFACTS", ["artifacts"])],
    ),
    "CloseLiveArtifact": (close_live, [("RUN", "ARTIFACTS", ["artifacts"])]),
    "CreateRegisteredModel": (
        lambda w: w.registry.CreateRegisteredModel(_registry.CreateRegisteredModelRequest(name="n")),
        [("REGISTERED_MODEL", "CREATED", [])],
    ),
    "UpdateRegisteredModel": (
        lambda w: w.registry.UpdateRegisteredModel(
            _registry.UpdateRegisteredModelRequest(
                name="m", new_name="n", description="d", tags=[Tag(key="t", value="1")]
            )
        ),
        [("REGISTERED_MODEL", "UPDATED", ["name", "description", "tags.t"])],
    ),
    "DeleteRegisteredModel": (
        lambda w: w.registry.DeleteRegisteredModel(_registry.DeleteRegisteredModelRequest(name="m")),
        [("REGISTERED_MODEL", "DELETED", [])],
    ),
    "CreateModelVersion": (
        lambda w: w.registry.CreateModelVersion(
            _registry.CreateModelVersionRequest(
                name="new", source=f"runs:/{w.run_id}/model", create_registered_model=True
            )
        ),
        [("REGISTERED_MODEL", "CREATED", []), ("MODEL_VERSION", "CREATED", ["source"])],
    ),
    "UpdateModelVersion": (
        lambda w: w.registry.UpdateModelVersion(
            _registry.UpdateModelVersionRequest(
                name="m", version=1, description="d", stage=_STAGING, tags=[Tag(key="t", value="1")]
            )
        ),
        [("MODEL_VERSION", "UPDATED", ["description", "stage", "tags.t"])],
    ),
    "DeleteModelVersion": (
        lambda w: w.registry.DeleteModelVersion(_registry.DeleteModelVersionRequest(name="m", version=1)),
        [("ALIAS", "DELETED", ["version"]), ("MODEL_VERSION", "DELETED", [])],
    ),
    "CopyModelVersion": (
        lambda w: w.registry.CopyModelVersion(_registry.CopyModelVersionRequest(source="models:/m/1", name="m")),
        [("MODEL_VERSION", "CREATED", ["source"])],
    ),
    "PromoteModelVersion": (
        lambda w: w.registry.PromoteModelVersion(
            _registry.PromoteModelVersionRequest(
                name="m", version=2, aliases=[_registry.AliasChange(alias="prod")], stage=_STAGING
            )
        ),
        [("MODEL_VERSION", "UPDATED", ["stage"]), ("ALIAS", "UPDATED", ["version"])],
    ),
    "SetAlias": (
        lambda w: w.registry.SetAlias(_registry.SetAliasRequest(name="m", alias="prod", version=2)),
        [("ALIAS", "UPDATED", ["version"])],
    ),
    "DeleteAlias": (
        lambda w: w.registry.DeleteAlias(_registry.DeleteAliasRequest(name="m", alias="prod")),
        [("ALIAS", "DELETED", ["version"])],
    ),
}


def all_methods() -> Iterator[MethodDescriptor]:
    for module in SERVICES:
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def test_every_call_is_known_to_change_something_or_nothing():
    names = {method.name for method in all_methods()}
    unknown = {name for name in names - CHANGES.keys() - SILENT if not name.startswith(READS)}
    assert not unknown, f"Say in CHANGES which events these record, or in SILENT that they record none: {unknown}"
    carrying_ids = {m.name for m in all_methods() if "request_id" in m.input_type.fields_by_name}
    assert carrying_ids - SILENT <= CHANGES.keys(), "What carries a request id changes something."


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_every_change_is_an_event(world, app, name):
    do, expected = CHANGES[name]
    before = await newest(app)
    await do(world)
    events = await recorded(app, before)
    fields = [[c.field for c in event.changes] + [m.key for m in event.metrics] for event in events]
    described = [(event.subject.value, event.type.value) for event in events]
    assert list(zip(described, fields, strict=True)) == [((subject, type_), f) for subject, type_, f in expected]
    assert all(event.time > 1_600_000_000_000 for event in events)
    of_registry = {"REGISTERED_MODEL", "MODEL_VERSION", "ALIAS"}
    assert {event.experiment_id is None for event in events} == {expected[0][0] in of_registry}


@pytest.mark.parametrize(
    "do",
    [
        pytest.param(
            lambda w: w.runs.LogBatch(
                run_service_pb2.LogBatchRequest(run_id=w.run_id, params=[run_pb2.Param(key="p", value="1")])
            ),
            id="the same param",
        ),
        pytest.param(
            lambda w: w.runs.UpdateRun(
                run_service_pb2.UpdateRunRequest(run_id=w.run_id, status=run_pb2.RUN_STATUS_RUNNING)
            ),
            id="the same status",
        ),
        pytest.param(
            lambda w: w.registry.SetAlias(_registry.SetAliasRequest(name="m", alias="prod", version=1)),
            id="the same version",
        ),
        pytest.param(
            lambda w: w.registry.DeleteAlias(_registry.DeleteAliasRequest(name="m", alias="none")), id="no such alias"
        ),
        pytest.param(lambda w: w.runs.RestoreRun(run_service_pb2.RestoreRunRequest(run_id=w.run_id)), id="not deleted"),
    ],
)
async def test_what_changes_nothing_is_no_event(world, app, do):
    request = run_service_pb2.LogBatchRequest(run_id=world.run_id, params=[run_pb2.Param(key="p", value="1")])
    await world.runs.LogBatch(request)
    before = await newest(app)
    await do(world)
    assert await recorded(app, before) == []


async def test_a_refused_change_is_no_event(world, app, refused):
    before = await newest(app)
    request = run_service_pb2.LogBatchRequest(
        run_id=world.run_id, tags=[Tag(key="t", value="1")], deleted_tag_keys=["absent"]
    )
    await refused(world.runs.LogBatch(request), "NOT_FOUND", "TAG_NOT_FOUND")
    assert await recorded(app, before) == []


async def test_a_retry_is_no_second_event(world, app):
    before = await newest(app)
    request = run_service_pb2.LogBatchRequest(
        run_id=world.run_id, metrics=[run_pb2.Metric(key="loss", value=1)], request_id="r"
    )
    await world.runs.LogBatch(request)
    await world.runs.LogBatch(request)
    assert len(await recorded(app, before)) == 1


async def test_a_batch_of_metrics_is_one_event_with_the_newest_of_each_key(world, app):
    before = await newest(app)
    metrics = [run_pb2.Metric(key=f"m{i % 2}", value=i, step=i) for i in range(998)]
    metrics += [run_pb2.Metric(key="odd", value=value) for value in (float("inf"), -0.0)]
    await world.runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=world.run_id, metrics=metrics))
    (event,) = await recorded(app, before)
    summary = [(m.key, m.value, m.step, m.count) for m in event.metrics]
    assert summary == [("m0", 996.0, 996, 499), ("m1", 997.0, 997, 499), ("odd", float("inf"), 0, 2)]
    assert event.metrics[0] == MetricChange("m0", 996.0, event.metrics[0].timestamp, 996, 499)


async def test_large_changes_are_shortened_and_say_so(world, app):
    before = await newest(app)
    tags = [Tag(key=f"t{i}", value="v" * (MAX_VALUE + 1)) for i in range(60)]
    params = [run_pb2.Param(key=f"p{i}", value="1") for i in range(60)]
    await world.runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=world.run_id, tags=tags, params=params))
    (event,) = await recorded(app, before)
    assert event.truncated
    assert len(event.changes) == MAX_LISTED
    assert event.changes[-1].new == "v" * MAX_VALUE


async def test_promotion_and_archiving_tell_from_where_to_where(world, app):
    before = await newest(app)
    production = registered_model_pb2.MODEL_STAGE_PRODUCTION
    for version in (1, 2):
        await world.registry.UpdateModelVersion(
            _registry.UpdateModelVersionRequest(
                name="m", version=version, stage=production, archive_existing_versions=True
            )
        )
    events = await recorded(app, before)
    assert [(event.version, event.changes) for event in events] == [
        (1, (Change("stage", "None", "Production"),)),
        (1, (Change("stage", "Production", "Archived"),)),
        (2, (Change("stage", "None", "Production"),)),
    ]
