"""What a principal may not see is nowhere: not in lists, not by names that are taken, not by tokens of pages."""

from __future__ import annotations

import pytest
from tests.rpc.access_requests import There, commit

from holdfast.v1 import access_service_pb2 as pb
from holdfast.v1 import artifact_pb2, model_pb2, run_pb2
from holdfast.v1 import artifact_service_pb2 as artifact_pb
from holdfast.v1 import experiment_service_pb2 as experiment_pb
from holdfast.v1 import model_registry_service_pb2 as registry_pb
from holdfast.v1 import model_service_pb2 as model_service_pb
from holdfast.v1 import run_service_pb2 as run_pb


async def everything(call, request, items: str) -> list:
    """All pages, two items each."""
    found = []
    while True:
        page = await call(request)
        found += getattr(page, items)
        assert len(getattr(page, items)) <= 2
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_lists_leave_out_what_is_hidden_and_keep_their_pages(server):
    there = There(server.owner)
    shown, hidden = [], []
    for number in range(8):
        (hidden if number % 2 else shown).append(await there.experiment())
        await server.owner.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=(hidden + shown)[-1]))
    alice = await server.caller("alice", "read")
    for experiment_id in hidden:
        await server.grant("alice", "none", experiment=experiment_id)
    found = await everything(
        alice.experiments.SearchExperiments, experiment_pb.SearchExperimentsRequest(page_size=2), "experiments"
    )
    assert {e.experiment_id for e in found} == {"0", *shown}
    for request in (
        run_pb.SearchRunsRequest(all_experiments=True, page_size=2),
        run_pb.SearchRunsRequest(experiment_ids=[*shown, *hidden], page_size=2),
        run_pb.SearchRunsRequest(all_experiments=True, page_size=2, order_by=["metrics.loss"]),
    ):
        runs = await everything(alice.runs.SearchRuns, request, "runs")
        assert {run.experiment_id for run in runs} <= set(shown)
        assert runs
    streamed = [
        run.experiment_id
        async for part in alice.runs.StreamRuns(run_pb.StreamRunsRequest(all_experiments=True))
        for run in part.runs
    ]
    assert set(streamed) <= set(shown)


async def test_by_default_nothing_is_seen_but_what_a_grant_shows(server):
    there = There(server.owner)
    granted, other = await there.experiment(), await there.experiment()
    model, _ = await there.registered(), await there.registered()
    bob = await server.caller("bob", "none")
    assert not (await bob.experiments.SearchExperiments(experiment_pb.SearchExperimentsRequest())).experiments
    await server.grant("bob", "read", experiment=granted)
    await server.grant("bob", "read", model=model)
    experiments = (await bob.experiments.SearchExperiments(experiment_pb.SearchExperimentsRequest())).experiments
    assert [e.experiment_id for e in experiments] == [granted]
    models = (await bob.registry.SearchRegisteredModels(registry_pb.SearchRegisteredModelsRequest())).registered_models
    assert [m.name for m in models] == [model]
    versions = (await bob.registry.SearchModelVersions(registry_pb.SearchModelVersionsRequest())).model_versions
    assert {v.name for v in versions} == {model}
    for ids in ([granted, other], [other]):
        request = model_service_pb.SearchLoggedModelsRequest(experiment_ids=ids)
        await bob.models.SearchLoggedModels(request)


async def test_datasets_of_hidden_experiments_are_not_listed(server):
    there = There(server.owner)
    ids = [await there.experiment(), await there.experiment()]
    for experiment_id in ids:
        run = await server.owner.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=experiment_id))
        dataset = run_pb2.DatasetInput(dataset=run_pb2.Dataset(name=f"of {experiment_id}", digest="d"))
        await server.owner.runs.LogInputs(run_pb.LogInputsRequest(run_id=run.run.run_id, datasets=[dataset]))
    bob = await server.caller("bob", "none")
    await server.grant("bob", "read", experiment=ids[0])
    listed = await bob.experiments.ListDatasets(experiment_pb.ListDatasetsRequest(experiment_ids=ids))
    assert [dataset.name for dataset in listed.datasets] == [f"of {ids[0]}"]


async def test_the_files_of_a_version_are_read_by_the_role_on_its_model_and_nothing_beside_them(server, refused):
    there = There(server.owner)
    run_id = await there.run()  # with a/file
    header = artifact_pb.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=run_id))
    secret = commit(header)
    secret[1].entries.entries[0].path = "secret"
    await server.owner.artifacts.CommitFiles(iter(secret))
    name = await there.registered()
    created = await server.owner.registry.CreateModelVersion(
        registry_pb.CreateModelVersionRequest(name=name, source=f"runs:/{run_id}/a")
    )
    bob = await server.caller("bob", "none")
    await server.grant("bob", "read", model=name)
    seen = registry_pb.GetModelVersionRequest(name=name, version=created.model_version.version)
    whole, part = [(await caller.registry.GetModelVersion(seen)).model_version.tree for caller in (server.owner, bob)]
    assert (whole.file_count, part.file_count, part.total_size) == (2, 0, 0)
    assert (part.digest, part.sequence) == (whole.digest, whole.sequence)
    uri = f"models:/{name}/{created.model_version.version}"
    (location,) = (await bob.artifacts.ResolveArtifact(artifact_pb.ResolveArtifactRequest(uri=uri))).locations
    assert location.path == "a"
    at = {"owner": location.owner, "sequence": location.sequence}
    listed = await bob.artifacts.ListFiles(artifact_pb.ListFilesRequest(**at, path="a"))
    assert [entry.path for entry in listed.entries] == ["a/file"]
    parts = [part async for part in bob.artifacts.ReadFile(artifact_pb.ReadFileRequest(**at, path="a/file"))]
    assert parts[0].header.entry.path == "a/file"
    for path in ("secret", "", "a2", "b/../secret"):
        call = bob.artifacts.ListFiles(artifact_pb.ListFilesRequest(**at, path=path))
        code = "INVALID_ARGUMENT" if ".." in path else "NOT_FOUND"
        await refused(call, code, "INVALID_PATH" if ".." in path else "RUN_NOT_FOUND")
    await refused(bob.artifacts.GetTree(artifact_pb.GetTreeRequest(**at)), "NOT_FOUND", "RUN_NOT_FOUND")
    newest = artifact_pb.ListFilesRequest(owner=location.owner, path="a")
    await refused(bob.artifacts.ListFiles(newest), "NOT_FOUND", "RUN_NOT_FOUND")
    # A page token that names another snapshot gives nothing more.
    forged = _page_token_of(location.sequence - 1, run_id, "a")
    call = bob.artifacts.ListFiles(artifact_pb.ListFilesRequest(**at, path="a", page_token=forged))
    await refused(call, "NOT_FOUND", "RUN_NOT_FOUND")
    await refused(bob.runs.GetRun(run_pb.GetRunRequest(run_id=run_id)), "NOT_FOUND", "RUN_NOT_FOUND")


def _page_token_of(sequence: int, owner: str, path: str) -> str:
    from holdfast_server.rpc.page_tokens import encode_path_token

    return encode_path_token(sequence, "", f"{owner}\0{path}\0False")


@pytest.mark.parametrize("sequence", [1 << 63, -(1 << 63) - 1, 10**300])
async def test_a_page_token_of_a_snapshot_that_cannot_be_is_refused(sequence: int, server, refused):
    run_id = await There(server.owner).run()
    bob = await server.caller("bob", "none")
    for owner in (run_id, "0" * 32):
        request = {"owner": artifact_pb2.TreeOwner(run_id=owner), "page_token": _page_token_of(sequence, owner, "")}
        call = bob.artifacts.ListFiles(artifact_pb.ListFilesRequest(**request))
        await refused(call, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
        call = bob.artifacts.ListFileBlocks(artifact_pb.ListFileBlocksRequest(**request, path="a"))
        await refused(call, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_a_page_token_is_no_good_to_another_principal(server, refused):
    there = There(server.owner)
    for _ in range(3):
        await there.experiment()
    alice, bob = await server.caller("alice", "read"), await server.caller("bob", "none")
    request = experiment_pb.SearchExperimentsRequest(page_size=1)
    page = await alice.experiments.SearchExperiments(request)
    request.page_token = page.next_page_token
    await refused(bob.experiments.SearchExperiments(request), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
    await server.set_role("alice", "write")
    assert (await alice.experiments.SearchExperiments(request)).experiments


async def test_names_that_are_taken_by_what_is_hidden_tell_nothing_of_it(server, refused):
    there = There(server.owner)
    created = await server.owner.experiments.CreateExperiment(experiment_pb.CreateExperimentRequest(name="theirs"))
    model = await there.registered()
    alice = await server.caller("alice", "write")
    await server.grant("alice", "none", experiment=created.experiment.experiment_id)
    await server.grant("alice", "none", model=model)
    call = alice.experiments.CreateExperiment(experiment_pb.CreateExperimentRequest(name="theirs"))
    told = await refused(call, "ALREADY_EXISTS", "ALREADY_EXISTS")
    assert told.metadata == {}
    assert created.experiment.experiment_id not in told.message
    mine = await alice.experiments.CreateExperiment(experiment_pb.CreateExperimentRequest(name="mine"))
    rename = experiment_pb.UpdateExperimentRequest(experiment_id=mine.experiment.experiment_id, name="theirs")
    await refused(alice.experiments.UpdateExperiment(rename), "ALREADY_EXISTS", "ALREADY_EXISTS")
    call = alice.registry.CreateRegisteredModel(registry_pb.CreateRegisteredModelRequest(name=model))
    await refused(call, "ALREADY_EXISTS", "ALREADY_EXISTS")
    source = f"runs:/{await there.run()}/a"
    register = registry_pb.CreateModelVersionRequest(name=model, source=source, create_registered_model=True)
    await refused(alice.registry.CreateModelVersion(register), "ALREADY_EXISTS", "ALREADY_EXISTS")
    reader = await server.caller("reader", "read")
    await server.grant("reader", "none", model=model)
    for name in (model, "free"):
        register.name = name
        call = reader.registry.CreateModelVersion(register)
        await refused(call, "PERMISSION_DENIED", "PERMISSION_DENIED")


async def test_an_id_of_what_is_hidden_cannot_be_used_to_read_it(server, refused):
    there = There(server.owner)
    run_id, model_id = await there.run(), await there.model()
    bob = await server.caller("bob", "none")
    mine = await there.experiment()
    await server.grant("bob", "manage", experiment=mine)
    call = bob.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=mine, run_id=run_id))
    told = await refused(call, "ALREADY_EXISTS", "ALREADY_EXISTS")
    assert told.metadata == {}
    call = bob.models.CreateLoggedModel(
        model_service_pb.CreateLoggedModelRequest(experiment_id=mine, model_id=model_id)
    )
    await refused(call, "ALREADY_EXISTS", "ALREADY_EXISTS")
    own = (await bob.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=mine))).run.run_id
    linked = [
        bob.runs.LogInputs(run_pb.LogInputsRequest(run_id=own, models=[run_pb2.ModelInput(model_id=model_id)])),
        bob.runs.LogOutputs(run_pb.LogOutputsRequest(run_id=own, models=[run_pb2.ModelOutput(model_id=model_id)])),
        bob.runs.LogBatch(
            run_pb.LogBatchRequest(run_id=own, metrics=[run_pb2.Metric(key="k", value=1, model_id=model_id)])
        ),
        bob.models.CreateLoggedModel(
            model_service_pb.CreateLoggedModelRequest(experiment_id=mine, source_run_id=run_id)
        ),
    ]
    for call, reason in zip(linked, ["MODEL_NOT_FOUND"] * 3 + ["RUN_NOT_FOUND"], strict=True):
        await refused(call, "NOT_FOUND", reason)
    copy = registry_pb.CreateModelVersionRequest(name="m", source=f"models:/{model_id}", create_registered_model=True)
    await refused(bob.registry.CreateModelVersion(copy), "PERMISSION_DENIED", "PERMISSION_DENIED")


async def test_points_of_a_model_need_the_role_on_its_experiment_too(server, refused):
    there = There(server.owner)
    model_id = await there.model()
    mine = await there.experiment()
    alice = await server.caller("alice", "read")
    await server.grant("alice", "write", experiment=mine)
    run_id = (await alice.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=mine))).run.run_id
    await alice.runs.LogInputs(run_pb.LogInputsRequest(run_id=run_id, models=[run_pb2.ModelInput(model_id=model_id)]))
    point = run_pb2.Metric(key="k", value=1, model_id=model_id)
    call = alice.runs.LogBatch(run_pb.LogBatchRequest(run_id=run_id, metrics=[point]))
    told = await refused(call, "PERMISSION_DENIED", "PERMISSION_DENIED")
    assert told.metadata["needed_role"] == "write"


async def test_leases_of_runs_that_may_not_be_written_are_passed_over(server):
    there = There(server.owner)
    mine, other = await there.experiment(), await there.run()
    alice = await server.caller("alice", "read")
    await server.grant("alice", "write", experiment=mine)
    run_id = (await alice.runs.CreateRun(run_pb.CreateRunRequest(experiment_id=mine))).run.run_id
    renewed = await alice.runs.RenewLeases(run_pb.RenewLeasesRequest(run_ids=[run_id, other]))
    assert renewed.held_run_ids == [run_id]


async def test_a_logged_model_does_not_tell_of_hidden_models_that_registered_it(server):
    there = There(server.owner)
    model_id = await there.model()
    await server.owner.models.FinalizeLoggedModel(
        model_service_pb.FinalizeLoggedModelRequest(model_id=model_id, status=model_pb2.LOGGED_MODEL_STATUS_READY)
    )
    names = [await there.registered(), await there.registered()]
    for name in names:
        await server.owner.registry.CreateModelVersion(
            registry_pb.CreateModelVersionRequest(name=name, source=f"models:/{model_id}")
        )
    alice = await server.caller("alice", "read")
    await server.grant("alice", "none", model=names[0])
    got = await alice.models.GetLoggedModel(model_service_pb.GetLoggedModelRequest(model_id=model_id))
    assert [r.name for r in got.model.registrations] == [names[1]]
    search = model_service_pb.SearchLoggedModelsRequest(experiment_ids=[got.model.experiment_id])
    (found,) = (await alice.models.SearchLoggedModels(search)).models
    assert [r.name for r in found.registrations] == [names[1]]


async def test_history_of_a_hidden_model_is_not_told_under_its_former_name(server, refused):
    there = There(server.owner)
    name = await there.registered()
    await server.owner.registry.UpdateRegisteredModel(
        registry_pb.UpdateRegisteredModelRequest(name=name, new_name="elsewhere")
    )
    alice = await server.caller("alice", "write")
    await server.grant("alice", "none", model="elsewhere")
    history = registry_pb.ListRegistryHistoryRequest(name=name)
    await refused(alice.registry.ListRegistryHistory(history), "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")
    await alice.registry.CreateRegisteredModel(registry_pb.CreateRegisteredModelRequest(name=name))
    changes = (await alice.registry.ListRegistryHistory(history)).changes
    assert {change.principal for change in changes} == {"alice"}


async def test_grants_end_with_what_they_are_on_and_follow_it_when_it_is_renamed(server, refused):
    there = There(server.owner)
    name = await there.registered()
    alice = await server.caller("alice", "none")
    await server.grant("alice", "manage", model=name)
    await server.owner.registry.UpdateRegisteredModel(
        registry_pb.UpdateRegisteredModelRequest(name=name, new_name="renamed")
    )
    await alice.registry.GetRegisteredModel(registry_pb.GetRegisteredModelRequest(name="renamed"))
    await server.owner.registry.DeleteRegisteredModel(registry_pb.DeleteRegisteredModelRequest(name="renamed"))
    assert not (await server.owner.access.ListGrants(pb.ListGrantsRequest(principal="alice"))).grants
    await server.owner.registry.CreateRegisteredModel(registry_pb.CreateRegisteredModelRequest(name="renamed"))
    call = alice.registry.GetRegisteredModel(registry_pb.GetRegisteredModelRequest(name="renamed"))
    await refused(call, "NOT_FOUND", "REGISTERED_MODEL_NOT_FOUND")


async def test_who_creates_something_manages_it_and_a_retry_after_deleting_it_has_its_answer(server):
    alice = await server.caller("alice", "write")
    created = await alice.experiments.CreateExperiment(experiment_pb.CreateExperimentRequest(name="e"))
    await alice.experiments.DeleteExperiment(
        experiment_pb.DeleteExperimentRequest(experiment_id=created.experiment.experiment_id)
    )
    await alice.registry.CreateRegisteredModel(registry_pb.CreateRegisteredModelRequest(name="m"))
    delete = registry_pb.DeleteRegisteredModelRequest(name="m", request_id="once")
    await alice.registry.DeleteRegisteredModel(delete)
    await alice.registry.DeleteRegisteredModel(delete)


async def test_stages_and_names_and_trust_need_more_than_writing(server, refused):
    name = await There(server.owner).registered()
    alice = await server.caller("alice", "write")
    update = registry_pb.UpdateModelVersionRequest(name=name, version=1, stage="MODEL_STAGE_PRODUCTION")
    await refused(alice.registry.UpdateModelVersion(update), "PERMISSION_DENIED", "PERMISSION_DENIED")
    for fields in ({"new_name": "n"}, {"pickle_forbidden": False}):
        change = registry_pb.UpdateRegisteredModelRequest(name=name, **fields)
        await refused(alice.registry.UpdateRegisteredModel(change), "PERMISSION_DENIED", "PERMISSION_DENIED")


async def test_a_watch_of_a_purged_run_is_not_resumed_by_who_may_not_read_its_experiment(server, refused):
    from google.protobuf.duration_pb2 import Duration

    from holdfast.v1 import storage_service_pb2 as storage_pb

    there = There(server.owner)
    run_id = await there.run()
    alice = await server.caller("alice", "read")
    watch = alice.runs.WatchRun(run_pb.WatchRunRequest(run_id=run_id))
    cursor = (await watch.read()).cursor
    watch.cancel()
    await server.owner.runs.DeleteRun(run_pb.DeleteRunRequest(run_id=run_id))
    purge = storage_pb.CollectGarbageRequest(purge_deleted=Duration(seconds=0))
    async for _ in server.owner.storage.CollectGarbage(purge):
        pass
    resumed = alice.runs.WatchRun(run_pb.WatchRunRequest(run_id=run_id, cursor=cursor))
    await resumed.read()
    resumed.cancel()
    await server.set_role("alice", "none")
    call = alice.runs.WatchRun(run_pb.WatchRunRequest(run_id=run_id, cursor=cursor)).read()
    await refused(call, "NOT_FOUND", "FILE_NOT_FOUND")


async def test_a_watch_of_a_hidden_model_is_not_resumed_under_its_former_name(server, refused):
    there = There(server.owner)
    name = await there.registered()
    alice = await server.caller("alice", "write")
    watch = alice.registry.WatchRegisteredModel(registry_pb.WatchRegisteredModelRequest(name=name))
    cursor = (await watch.read()).cursor
    watch.cancel()
    rename = registry_pb.UpdateRegisteredModelRequest(name=name, new_name="elsewhere")
    await server.owner.registry.UpdateRegisteredModel(rename)
    resume = registry_pb.WatchRegisteredModelRequest(name=name, cursor=cursor)
    resumed = alice.registry.WatchRegisteredModel(resume)
    await resumed.read()
    resumed.cancel()
    await server.grant("alice", "none", model="elsewhere")
    await refused(alice.registry.WatchRegisteredModel(resume).read(), "NOT_FOUND", "FILE_NOT_FOUND")
    # Nor by a model of one's own that has the name now.
    await alice.registry.CreateRegisteredModel(registry_pb.CreateRegisteredModelRequest(name=name))
    await refused(alice.registry.WatchRegisteredModel(resume).read(), "NOT_FOUND", "FILE_NOT_FOUND")
    await server.owner.registry.DeleteRegisteredModel(registry_pb.DeleteRegisteredModelRequest(name="elsewhere"))
    await server.set_role("alice", "none")
    await refused(alice.registry.WatchRegisteredModel(resume).read(), "NOT_FOUND", "FILE_NOT_FOUND")


async def test_what_an_administrator_reads_with_a_token_for_reading_no_grant_hides(server):
    experiment_id = await There(server.owner).experiment()
    root = await server.caller("root", "admin", ceiling="read")
    await server.grant("root", "none", experiment=experiment_id)
    await root.experiments.GetExperiment(experiment_pb.GetExperimentRequest(experiment_id=experiment_id))
    found = (await root.experiments.SearchExperiments(experiment_pb.SearchExperimentsRequest())).experiments
    assert experiment_id in [experiment.experiment_id for experiment in found]
