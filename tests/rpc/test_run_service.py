"""RunService over a real socket: runs, their params and tags, and the limits of what is logged."""

from __future__ import annotations

import re

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.rpc.run_api import Metric, Param, Tag, at, create, get, history, log

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import experiment_service_pb2
from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service


async def test_created_run_is_running_and_named(runs):
    created = await create(runs)
    assert re.fullmatch(r"[0-9a-f]{32}", created.run_id)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", created.run_name)
    assert (created.experiment_id, created.status) == ("0", pb.RUN_STATUS_RUNNING)
    assert [(t.key, t.value) for t in created.tags] == [("mlflow.runName", created.run_name)]
    assert not created.HasField("end_time")
    assert await get(runs, created.run_id) == created


async def test_name_and_start_of_the_caller_are_kept(runs):
    created = await create(runs, run_name="n", user_id="ada", start_time=at(1_500), tags=[Tag(key="k", value="v")])
    assert (created.run_name, created.user_id, created.start_time.ToMilliseconds()) == ("n", "ada", 1_500)
    assert [(t.key, t.value) for t in created.tags] == [("k", "v"), ("mlflow.runName", "n")]


async def test_name_can_come_as_the_tag(runs):
    assert (await create(runs, tags=[Tag(key="mlflow.runName", value="n")])).run_name == "n"


async def test_differing_name_and_tag_are_refused(runs, refused):
    call = create(runs, run_name="a", tags=[Tag(key="mlflow.runName", value="b")])
    assert (await refused(call, "INVALID_ARGUMENT", "INVALID_VALUE")).field == "run_name"


async def test_create_is_idempotent_by_the_callers_id(runs, experiments, refused):
    run_id = "ab" * 16
    first = await create(runs, run_id=run_id)
    await log(runs, run_id, params=[Param(key="p", value="1")])
    again = await create(runs, run_id=run_id)
    assert (again.run_id, again.run_name, again.start_time) == (run_id, first.run_name, first.start_time)
    assert [p.key for p in again.params] == ["p"]
    await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="other"))
    await refused(create(runs, run_id=run_id, experiment_id="1"), "ALREADY_EXISTS", "ALREADY_EXISTS")
    await refused(create(runs, run_id="AB" * 16), "INVALID_ARGUMENT", "INVALID_NAME")


async def test_unknown_experiments_and_runs(runs, refused):
    await refused(create(runs, experiment_id="5"), "NOT_FOUND", "EXPERIMENT_NOT_FOUND")
    missing = "0" * 32
    error = await refused(get(runs, missing), "NOT_FOUND", "RUN_NOT_FOUND")
    assert error.metadata == {"run_id": missing}
    await refused(log(runs, missing), "NOT_FOUND", "RUN_NOT_FOUND")
    await refused(log(runs, "no"), "NOT_FOUND", "RUN_NOT_FOUND")
    error = await refused(get(runs, "no"), "NOT_FOUND", "RUN_NOT_FOUND")
    assert error.message == "There is no run 'no': the id of a run is 32 lower-case hex digits."
    assert error.metadata == {"run_id": "no"}


async def test_update_keeps_name_and_tag_equal(runs, run):
    updated = (await runs.UpdateRun(service.UpdateRunRequest(run_id=run.run_id, run_name="second"))).run
    assert updated.run_name == "second"
    assert [t.value for t in (await get(runs, run.run_id)).tags] == ["second"]
    await log(runs, run.run_id, tags=[Tag(key="mlflow.runName", value="third")])
    assert (await get(runs, run.run_id)).run_name == "third"


@pytest.mark.parametrize("value", ["", " ", "x" * 251])
async def test_run_name_cannot_become_invalid_through_its_tag(runs, run, refused, value):
    reason = "LIMIT_EXCEEDED" if len(value) > 250 else "INVALID_NAME"
    await refused(log(runs, run.run_id, tags=[Tag(key="mlflow.runName", value=value)]), "INVALID_ARGUMENT", reason)
    call = log(runs, run.run_id, deleted_tag_keys=["mlflow.runName"])
    await refused(call, "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_a_copy_is_lost_until_it_is_told_otherwise_or_a_lease_is_taken(runs, run, refused):
    def told(lost):
        return runs.UpdateRun(service.UpdateRunRequest(run_id=run.run_id, lost=lost))

    assert (await told(True)).run.lost
    await log(runs, run.run_id, tags=[Tag(key="k", value="v")])  # somebody's, who does not run it
    assert (await get(runs, run.run_id)).lost
    assert not (await told(False)).run.lost
    await told(True)
    await runs.RenewLeases(service.RenewLeasesRequest(run_ids=[run.run_id]))
    assert not (await get(runs, run.run_id)).lost
    await told(True)
    request = service.UpdateRunRequest(run_id=run.run_id, status=pb.RUN_STATUS_FAILED)
    assert not (await runs.UpdateRun(request)).run.lost
    await refused(told(True), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_running_again_clears_the_end(runs, run, refused):
    request = service.UpdateRunRequest(run_id=run.run_id, status=pb.RUN_STATUS_FINISHED, end_time=at(5_000))
    ended = (await runs.UpdateRun(request)).run
    assert (ended.status, ended.end_time.ToMilliseconds()) == (pb.RUN_STATUS_FINISHED, 5_000)
    assert ended.run_name == "first"
    resumed = service.UpdateRunRequest(run_id=run.run_id, status=pb.RUN_STATUS_RUNNING)
    assert not (await runs.UpdateRun(resumed)).run.HasField("end_time")
    both = service.UpdateRunRequest(run_id=run.run_id, status=pb.RUN_STATUS_RUNNING, end_time=at(1))
    await refused(runs.UpdateRun(both), "INVALID_ARGUMENT", "INVALID_VALUE")
    unknown = service.UpdateRunRequest(run_id=run.run_id, status=99)
    await refused(runs.UpdateRun(unknown), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_finished_runs_are_written_and_deleted_ones_are_not(runs, run, refused):
    await runs.UpdateRun(service.UpdateRunRequest(run_id=run.run_id, status=pb.RUN_STATUS_FINISHED))
    await log(runs, run.run_id, metrics=[Metric(key="late", value=1)])
    await runs.DeleteRun(service.DeleteRunRequest(run_id=run.run_id))
    await runs.DeleteRun(service.DeleteRunRequest(run_id=run.run_id))
    assert (await get(runs, run.run_id)).lifecycle_stage == experiment_pb.LIFECYCLE_STAGE_DELETED
    for call in (
        log(runs, run.run_id, metrics=[Metric(key="m", value=1)]),
        runs.UpdateRun(service.UpdateRunRequest(run_id=run.run_id, run_name="x")),
        runs.LogInputs(service.LogInputsRequest(run_id=run.run_id)),
        runs.LogOutputs(service.LogOutputsRequest(run_id=run.run_id)),
    ):
        error = await refused(call, "FAILED_PRECONDITION", "DELETED")
        assert "restore it" in error.message
    await runs.RestoreRun(service.RestoreRunRequest(run_id=run.run_id))
    await log(runs, run.run_id, metrics=[Metric(key="m", value=1)])


async def test_run_of_a_deleted_experiment_cannot_be_restored_alone(runs, experiments, refused):
    made = await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="e"))
    created = await create(runs, experiment_id=made.experiment.experiment_id)
    request = experiment_service_pb2.DeleteExperimentRequest(experiment_id=made.experiment.experiment_id)
    await experiments.DeleteExperiment(request)
    call = runs.RestoreRun(service.RestoreRunRequest(run_id=created.run_id))
    assert "restore the experiment" in (await refused(call, "FAILED_PRECONDITION", "DELETED")).message


async def test_params_are_immutable_and_repeatable(runs, run, refused):
    await log(runs, run.run_id, params=[Param(key="lr", value="0.1")])
    await log(runs, run.run_id, params=[Param(key="lr", value="0.1"), Param(key="n", value="1")])
    call = log(
        runs,
        run.run_id,
        params=[Param(key="new", value="x"), Param(key="lr", value="0.2")],
        metrics=[Metric(key="m", value=1)],
        tags=[Tag(key="t", value="1")],
    )
    error = await refused(call, "INVALID_ARGUMENT", "PARAM_IMMUTABLE")
    assert error.metadata == {"key": "lr", "old_value": "0.1", "new_value": "0.2"}
    assert "'0.1'" in error.message
    assert "'0.2'" in error.message
    after = await get(runs, run.run_id)
    assert [(p.key, p.value) for p in after.params] == [("lr", "0.1"), ("n", "1")]
    assert not after.metrics
    assert [t.key for t in after.tags] == ["mlflow.runName"]


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        pytest.param({"params": [Param(key="p", value="1")] * 2}, "INVALID_VALUE", id="param twice"),
        pytest.param({"params": [Param(key="p", value="v" * 6_001)]}, "LIMIT_EXCEEDED", id="long param"),
        pytest.param({"params": [Param(key="p" * 251, value="")]}, "LIMIT_EXCEEDED", id="long param key"),
        pytest.param({"params": [Param(key="p;q", value="")]}, "INVALID_NAME", id="bad param key"),
        pytest.param({"params": [Param(key=f"p{i}") for i in range(101)]}, "LIMIT_EXCEEDED", id="101 params"),
        pytest.param({"tags": [Tag(key="t", value="v" * 8_001)]}, "LIMIT_EXCEEDED", id="long tag"),
        pytest.param({"tags": [Tag(key=f"t{i}") for i in range(101)]}, "LIMIT_EXCEEDED", id="101 tags"),
        pytest.param({"deleted_tag_keys": [f"t{i}" for i in range(101)]}, "LIMIT_EXCEEDED", id="101 removals"),
        pytest.param({"metrics": [Metric(key="m")] * 1_001}, "LIMIT_EXCEEDED", id="1001 metrics"),
        pytest.param({"metrics": [Metric(key="")]}, "INVALID_NAME", id="empty metric key"),
        pytest.param({"metrics": [Metric(key="m", dataset_name="d" * 501)]}, "LIMIT_EXCEEDED", id="dataset name"),
        pytest.param(
            {"metrics": [Metric(key="m", timestamp=Timestamp(seconds=1 << 62))]}, "INVALID_VALUE", id="absurd time"
        ),
        pytest.param({"metrics": [Metric(key="m" * 250)] * 1_000, "writer_id": "a b"}, "INVALID_NAME", id="writer id"),
        pytest.param({"writer_id": "w", "writer_sequence": -1}, "INVALID_VALUE", id="negative sequence"),
        pytest.param(
            {"params": [Param(key=f"p{i}", value="é" * 6_000) for i in range(100)]}, "LIMIT_EXCEEDED", id="1 MiB"
        ),
    ],
)
async def test_batches_over_a_limit_are_refused_whole(runs, run, refused, batch, reason):
    fields = {"tags": [Tag(key="kept", value="no")], **batch}
    await refused(log(runs, run.run_id, **fields), "INVALID_ARGUMENT", reason)
    assert await get(runs, run.run_id) == run


async def test_a_batch_of_a_model_that_none_can_be_is_refused_whole(runs, run, refused):
    metrics = [Metric(key="m"), Metric(key="m", model_id="nope")]
    await refused(log(runs, run.run_id, metrics=metrics), "NOT_FOUND", "MODEL_NOT_FOUND")
    assert await get(runs, run.run_id) == run


async def test_values_at_their_limits_are_kept_whole(runs, run):
    await log(
        runs,
        run.run_id,
        params=[Param(key="k" * 250, value="é" * 6_000)],
        tags=[Tag(key="a_-.:/ Z9ß", value="é" * 8_000)],
    )
    after = await get(runs, run.run_id)
    assert after.params[0] == Param(key="k" * 250, value="é" * 6_000)
    assert after.tags[0] == Tag(key="a_-.:/ Z9ß", value="é" * 8_000)


async def test_removing_an_absent_tag_is_an_error_and_changes_nothing(runs, run, refused):
    await log(runs, run.run_id, tags=[Tag(key="a", value="1")])
    call = log(runs, run.run_id, deleted_tag_keys=["a", "b"])
    error = await refused(call, "NOT_FOUND", "TAG_NOT_FOUND")
    assert error.metadata == {"run_id": run.run_id, "key": "b"}
    assert [t.key for t in (await get(runs, run.run_id)).tags] == ["a", "mlflow.runName"]
    await log(runs, run.run_id, deleted_tag_keys=["a"])
    assert [t.key for t in (await get(runs, run.run_id)).tags] == ["mlflow.runName"]


async def test_long_runs_come_in_pages(runs, run):
    for batch in range(6):
        await log(runs, run.run_id, params=[Param(key=f"p{batch}-{i:03}", value="x" * 6_000) for i in range(100)])
    await log(runs, run.run_id, metrics=[Metric(key=f"m{i}", value=i) for i in range(1_000)])
    params, metrics, token, pages = [], [], "", 0
    while token or not pages:
        page = await runs.GetRun(service.GetRunRequest(run_id=run.run_id, page_token=token))
        assert page.ByteSize() < 3 << 20
        assert page.run.run_name == "first"
        params += [p.key for p in page.run.params]
        metrics += [m.key for m in page.run.metrics]
        token, pages = page.next_page_token, pages + 1
    assert params == sorted(f"p{batch}-{i:03}" for batch in range(6) for i in range(100))
    assert metrics == sorted(f"m{i}" for i in range(1_000))
    assert pages == 2


async def test_retried_batch_has_one_effect(runs, run):
    fields = {"metrics": [Metric(key="m", value=1)], "request_id": "r"}
    await log(runs, run.run_id, **fields)
    await log(runs, run.run_id, **fields)
    assert len((await history(runs, run.run_id)).metrics) == 1
