"""ExperimentService over a real socket."""

from __future__ import annotations

import pytest

from holdfast.v1 import experiment_pb2 as pb
from holdfast.v1 import experiment_service_pb2 as service
from holdfast.v1 import run_service_pb2


async def create(experiments, name="e", **fields):
    response = await experiments.CreateExperiment(service.CreateExperimentRequest(name=name, **fields))
    return response.experiment


async def get(experiments, experiment_id):
    response = await experiments.GetExperiment(service.GetExperimentRequest(experiment_id=experiment_id))
    return response.experiment


async def test_default_experiment_always_exists(experiments):
    by_id = await get(experiments, "0")
    by_name = (await experiments.GetExperiment(service.GetExperimentRequest(name="Default"))).experiment
    assert by_id == by_name
    assert by_id.name == "Default"
    assert by_id.lifecycle_stage == pb.LIFECYCLE_STAGE_ACTIVE
    assert by_id.create_time.seconds > 1_600_000_000


async def test_default_experiment_cannot_be_deleted(experiments, refused):
    call = experiments.DeleteExperiment(service.DeleteExperimentRequest(experiment_id="0"))
    error = await refused(call, "INVALID_ARGUMENT", "INVALID_VALUE")
    assert "always exists" in error.message
    assert error.field == "experiment_id"


async def test_created_experiment_reads_back(experiments):
    tags = [pb.Tag(key="b", value="2"), pb.Tag(key="a", value="é" * 20_000)]
    created = await create(experiments, "mine", tags=tags)
    assert created.experiment_id == "1"
    assert [(t.key, len(t.value)) for t in created.tags] == [("a", 20_000), ("b", 1)]
    assert created.create_time == created.update_time
    assert await get(experiments, "1") == created


async def test_artifact_location_is_kept_as_given(experiments, refused):
    created = await create(experiments, "there", artifact_location="s3://bucket/é")
    assert created.artifact_location == "s3://bucket/é"
    assert await get(experiments, created.experiment_id) == created
    assert (await get(experiments, "0")).artifact_location == ""
    longest = await create(experiments, "longest", artifact_location="x" * 2_048)
    assert longest.artifact_location == "x" * 2_048
    call = create(experiments, "longer", artifact_location="x" * 2_049)
    assert (await refused(call, "INVALID_ARGUMENT", "LIMIT_EXCEEDED")).field == "artifact_location"


async def test_retry_with_request_id_creates_once(experiments, refused):
    request = service.CreateExperimentRequest(name="once", request_id="r-1")
    first, second = await experiments.CreateExperiment(request), await experiments.CreateExperiment(request)
    assert first == second
    other = service.CreateExperimentRequest(name="other", request_id="r-1")
    await refused(experiments.CreateExperiment(other), "INVALID_ARGUMENT", "REQUEST_ID_REUSED")


async def test_names_are_unique_also_among_deleted_experiments(experiments, refused):
    created = await create(experiments, "taken")
    error = await refused(create(experiments, "taken"), "ALREADY_EXISTS", "ALREADY_EXISTS")
    assert error.metadata == {"experiment_id": created.experiment_id, "lifecycle_stage": "active"}
    await experiments.DeleteExperiment(service.DeleteExperimentRequest(experiment_id=created.experiment_id))
    error = await refused(create(experiments, "taken"), "ALREADY_EXISTS", "ALREADY_EXISTS")
    assert "restore it" in error.message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("", "INVALID_NAME", id="empty"),
        pytest.param("  ", "INVALID_NAME", id="spaces"),
        pytest.param("a\nb", "INVALID_NAME", id="newline"),
        pytest.param("x" * 501, "LIMIT_EXCEEDED", id="long"),
    ],
)
async def test_bad_names_are_refused(experiments, refused, name, reason):
    assert (await refused(create(experiments, name), "INVALID_ARGUMENT", reason)).field == "name"


async def test_longest_name_is_accepted(experiments):
    assert (await create(experiments, "é" * 500)).name == "é" * 500


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        pytest.param([pb.Tag(key="k", value="v" * 20_001)], "LIMIT_EXCEEDED", id="long value"),
        pytest.param([pb.Tag(key="k" * 251)], "LIMIT_EXCEEDED", id="long key"),
        pytest.param([pb.Tag(key="a;b")], "INVALID_NAME", id="bad key"),
        pytest.param([pb.Tag(key="")], "INVALID_NAME", id="empty key"),
        pytest.param([pb.Tag(key=f"k{i}") for i in range(101)], "LIMIT_EXCEEDED", id="too many"),
    ],
)
async def test_bad_tags_are_refused(experiments, refused, tags, reason):
    await refused(create(experiments, tags=tags), "INVALID_ARGUMENT", reason)
    await refused(
        experiments.GetExperiment(service.GetExperimentRequest(name="e")), "NOT_FOUND", "EXPERIMENT_NOT_FOUND"
    )


async def test_tags_are_set_and_removed_in_one_step(experiments, refused):
    created = await create(experiments, tags=[pb.Tag(key="a", value="1"), pb.Tag(key="b", value="2")])
    await experiments.SetExperimentTags(
        service.SetExperimentTagsRequest(
            experiment_id=created.experiment_id, tags=[pb.Tag(key="c", value="3")], deleted_tag_keys=["a", "absent"]
        )
    )
    assert [t.key for t in (await get(experiments, created.experiment_id)).tags] == ["b", "c"]
    both = service.SetExperimentTagsRequest(
        experiment_id=created.experiment_id, tags=[pb.Tag(key="c", value="4")], deleted_tag_keys=["c"]
    )
    await refused(experiments.SetExperimentTags(both), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_tags_of_one_experiment_are_bounded_together(experiments, refused):
    created = await create(experiments)
    for start in range(0, 100, 25):
        tags = [pb.Tag(key=f"k{i}", value="x" * 20_000) for i in range(start, start + 25)]
        request = service.SetExperimentTagsRequest(experiment_id=created.experiment_id, tags=tags)
        await experiments.SetExperimentTags(request)
    more = [pb.Tag(key=f"more{i}", value="x" * 20_000) for i in range(10)]
    request = service.SetExperimentTagsRequest(experiment_id=created.experiment_id, tags=more)
    await refused(experiments.SetExperimentTags(request), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    assert len((await get(experiments, created.experiment_id)).tags) == 100


async def test_rename_bumps_update_time_and_frees_the_old_name(experiments, refused):
    created = await create(experiments, "old")
    renamed = (
        await experiments.UpdateExperiment(
            service.UpdateExperimentRequest(experiment_id=created.experiment_id, name="new")
        )
    ).experiment
    assert renamed.name == "new"
    assert renamed.update_time.ToNanoseconds() >= created.update_time.ToNanoseconds()
    await create(experiments, "old")
    taken = service.UpdateExperimentRequest(experiment_id=created.experiment_id, name="old")
    await refused(experiments.UpdateExperiment(taken), "ALREADY_EXISTS", "ALREADY_EXISTS")
    same = service.UpdateExperimentRequest(experiment_id=created.experiment_id, name="new")
    assert (await experiments.UpdateExperiment(same)).experiment.name == "new"


async def test_unknown_and_malformed_ids(experiments, refused):
    await refused(get(experiments, "77"), "NOT_FOUND", "EXPERIMENT_NOT_FOUND")
    await refused(get(experiments, "x"), "INVALID_ARGUMENT", "INVALID_NAME")
    await refused(get(experiments, "9" * 30), "INVALID_ARGUMENT", "INVALID_NAME")
    await refused(experiments.GetExperiment(service.GetExperimentRequest()), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_deleting_takes_the_runs_along_and_restoring_brings_those_back(experiments, runs):
    created = await create(experiments)

    async def new_run():
        request = run_service_pb2.CreateRunRequest(experiment_id=created.experiment_id)
        return (await runs.CreateRun(request)).run.run_id

    async def stage(run_id):
        return (await runs.GetRun(run_service_pb2.GetRunRequest(run_id=run_id))).run.lifecycle_stage

    kept, gone = await new_run(), await new_run()
    await runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=gone))
    await experiments.DeleteExperiment(service.DeleteExperimentRequest(experiment_id=created.experiment_id))
    assert await stage(kept) == await stage(gone) == pb.LIFECYCLE_STAGE_DELETED
    await experiments.RestoreExperiment(service.RestoreExperimentRequest(experiment_id=created.experiment_id))
    assert await stage(kept) == pb.LIFECYCLE_STAGE_ACTIVE
    assert await stage(gone) == pb.LIFECYCLE_STAGE_DELETED


async def test_deleted_experiment_refuses_changes(experiments, runs, refused):
    created = await create(experiments)
    delete = service.DeleteExperimentRequest(experiment_id=created.experiment_id)
    await experiments.DeleteExperiment(delete)
    assert (await get(experiments, created.experiment_id)).lifecycle_stage == pb.LIFECYCLE_STAGE_DELETED
    for call in (
        experiments.DeleteExperiment(delete),
        experiments.UpdateExperiment(service.UpdateExperimentRequest(experiment_id=created.experiment_id, name="n")),
        experiments.SetExperimentTags(service.SetExperimentTagsRequest(experiment_id=created.experiment_id)),
        runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id=created.experiment_id)),
    ):
        await refused(call, "FAILED_PRECONDITION", "DELETED")
