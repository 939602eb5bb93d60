"""RunService over a real socket."""

from __future__ import annotations

import math
import re
import struct

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import experiment_service_pb2, model_service_pb2
from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service

Tag, Param, Metric = experiment_pb.Tag, pb.Param, pb.Metric


def at(ms):
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


async def create(runs, **fields):
    return (await runs.CreateRun(service.CreateRunRequest(**fields))).run


async def get(runs, run_id):
    return (await runs.GetRun(service.GetRunRequest(run_id=run_id))).run


async def log(runs, run_id, **fields):
    return await runs.LogBatch(service.LogBatchRequest(run_id=run_id, **fields))


async def history(runs, run_id, key="m", **fields):
    request = service.ListMetricHistoryRequest(run_id=run_id, key=key, **fields)
    return await runs.ListMetricHistory(request)


@pytest.fixture
async def run(runs):
    return await create(runs, run_name="first", user_id="ada")


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


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1, -3.0])
async def test_every_double_is_kept_bit_by_bit(runs, run, value):
    await log(runs, run.run_id, metrics=[Metric(key="m", value=value)])
    kept = [(await get(runs, run.run_id)).metrics[0].value, (await history(runs, run.run_id)).metrics[0].value]
    for found in kept:
        assert struct.pack("<d", found) == struct.pack("<d", value) or (math.isnan(found) and math.isnan(value))


async def test_newest_point_goes_by_step_then_time_then_value(runs, run):
    points = [(3, 100, 1.0), (3, 200, 1.0), (2, 900, 9.0), (3, 200, 2.0), (3, 200, -5.0)]
    metrics = [Metric(key="m", step=s, timestamp=at(t), value=v) for s, t, v in points]
    for metric in metrics:
        await log(runs, run.run_id, metrics=[metric])
    await log(
        runs, run.run_id, metrics=[Metric(key="n", step=m.step, timestamp=m.timestamp, value=m.value) for m in metrics]
    )
    newest = (await get(runs, run.run_id)).metrics
    assert [(m.key, m.step, m.timestamp.ToMilliseconds(), m.value) for m in newest] == [
        ("m", 3, 200, 2.0),
        ("n", 3, 200, 2.0),
    ]


@pytest.mark.parametrize(
    ("first", "second", "newest"),
    [(math.nan, -1.0, math.nan), (math.nan, 1.0, 1.0), (1.0, math.nan, 1.0), (-1.0, math.nan, math.nan)],
)
async def test_nan_counts_as_zero_when_points_compare(runs, run, first, second, newest):
    for value in (first, second):
        await log(runs, run.run_id, metrics=[Metric(key="m", value=value, timestamp=at(1))])
    found = (await get(runs, run.run_id)).metrics[0].value
    assert found == newest or (math.isnan(found) and math.isnan(newest))


async def test_identical_points_logged_twice_are_both_kept(runs, run):
    point = Metric(key="m", value=1, step=1, timestamp=at(1))
    await log(runs, run.run_id, metrics=[point, point])
    await log(runs, run.run_id, metrics=[point])
    assert len((await history(runs, run.run_id)).metrics) == 3


async def test_history_is_paged_in_order_of_step_time_and_arrival(runs, run):
    points = [(5, 1, 1.0), (-2, 9, 2.0), (5, 1, 3.0), (5, 0, 4.0), (-2, 9, 0.5)]
    await log(runs, run.run_id, metrics=[Metric(key="m", step=s, timestamp=at(t), value=v) for s, t, v in points])
    values, token, pages = [], "", 0
    while token or not pages:
        page = await history(runs, run.run_id, page_size=2, page_token=token)
        values += [m.value for m in page.metrics]
        token, pages = page.next_page_token, pages + 1
    assert (values, pages) == ([2.0, 0.5, 4.0, 1.0, 3.0], 3)


async def test_history_pages_stay_below_three_mebibytes(runs, run):
    key = "k" * 250
    for start in range(0, 12_000, 1_000):
        await log(runs, run.run_id, metrics=[Metric(key=key, step=start + i, value=i) for i in range(1_000)])
    first = await history(runs, run.run_id, key)
    assert first.ByteSize() < 3 << 20
    assert first.next_page_token
    second = await history(runs, run.run_id, key, page_token=first.next_page_token)
    assert [m.step for m in (*first.metrics, *second.metrics)] == list(range(12_000))


async def test_history_tokens_belong_to_their_metric(runs, run, refused):
    await log(runs, run.run_id, metrics=[Metric(key="m"), Metric(key="m"), Metric(key="n")])
    token = (await history(runs, run.run_id, page_size=1)).next_page_token
    for call in (
        history(runs, run.run_id, "n", page_token=token),
        history(runs, run.run_id, page_token=token[:-4] + "AAAA"),
        history(runs, run.run_id, page_token="!"),
        history(runs, run.run_id, page_token="é"),
        runs.GetRun(service.GetRunRequest(run_id=run.run_id, page_token=token)),
    ):
        await refused(call, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
    await refused(history(runs, run.run_id, page_size=25_001), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await refused(history(runs, run.run_id, page_size=-1), "INVALID_ARGUMENT", "INVALID_VALUE")


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


async def test_a_gap_in_a_writers_stream_is_refused_and_says_where_to_go_on(runs, run, refused):
    later = {"metrics": [Metric(key="m")], "writer_id": "w", "writer_sequence": 3}
    refusal = await refused(log(runs, run.run_id, **later), "ABORTED", "CONFLICT")
    assert refusal.metadata == {"next_writer_sequence": "0"}
    assert not (await history(runs, run.run_id)).metrics


async def test_replayed_metrics_of_a_writer_are_kept_once(runs, run):
    def batch(start, count):
        metrics = [Metric(key="m", step=i, value=i) for i in range(start, start + count)]
        return {"metrics": metrics, "writer_id": "w", "writer_sequence": start}

    assert (await log(runs, run.run_id, **batch(0, 5))).next_writer_sequence == 5
    assert (await log(runs, run.run_id, **batch(0, 5))).next_writer_sequence == 5
    assert (await log(runs, run.run_id, **batch(3, 5))).next_writer_sequence == 8
    assert (await log(runs, run.run_id, **batch(1, 2))).next_writer_sequence == 8
    other = {**batch(0, 2), "writer_id": "v"}
    assert (await log(runs, run.run_id, **other)).next_writer_sequence == 2
    steps = [m.step for m in (await history(runs, run.run_id)).metrics]
    assert sorted(steps) == sorted([*range(8), 0, 1])


async def test_mark_does_not_move_when_the_batch_fails(runs, run, refused):
    fields = {"metrics": [Metric(key="m")], "writer_id": "w", "writer_sequence": 0}
    call = log(runs, run.run_id, **fields, deleted_tag_keys=["absent"])
    await refused(call, "NOT_FOUND", "TAG_NOT_FOUND")
    await log(runs, run.run_id, **fields)
    assert len((await history(runs, run.run_id)).metrics) == 1


async def test_metrics_of_a_model_appear_at_the_model(runs, run, models, refused):
    made = await models.CreateLoggedModel(
        model_service_pb2.CreateLoggedModelRequest(name="m", source_run_id=run.run_id)
    )
    model_id = made.model.model_id
    await log(
        runs,
        run.run_id,
        metrics=[
            Metric(key="acc", value=0.5, step=1, model_id=model_id, dataset_name="train", dataset_digest="1"),
            Metric(key="acc", value=0.6, step=2, model_id=model_id, dataset_name="train", dataset_digest="1"),
            Metric(key="acc", value=math.nan, step=2, model_id=model_id, dataset_name="test", dataset_digest="2"),
            Metric(key="loss", value=9, step=2),
        ],
    )
    model = (await models.GetLoggedModel(model_service_pb2.GetLoggedModelRequest(model_id=model_id))).model
    assert [(m.key, m.dataset_name, m.step, m.model_id) for m in model.metrics] == [
        ("acc", "test", 2, model_id),
        ("acc", "train", 2, model_id),
    ]
    assert math.isnan(model.metrics[0].value)
    call = log(runs, run.run_id, metrics=[Metric(key="m", model_id="m-" + "0" * 32)])
    await refused(call, "NOT_FOUND", "MODEL_NOT_FOUND")


def dataset(name="d", digest="1", tags=(), **fields):
    return pb.DatasetInput(
        dataset=pb.Dataset(name=name, digest=digest, **fields),
        tags=[Tag(key=key, value=value) for key, value in tags],
    )


async def test_inputs_and_outputs_are_linked(runs, run, models):
    made = await models.CreateLoggedModel(model_service_pb2.CreateLoggedModelRequest(name="m"))
    model_id = made.model.model_id
    request = service.LogInputsRequest(
        run_id=run.run_id,
        datasets=[dataset(source_type="local", source="{}", schema="{}", tags=[("mlflow.data.context", "train")])],
        models=[pb.ModelInput(model_id=model_id)],
    )
    await runs.LogInputs(request)
    await runs.LogInputs(request)
    for step in (1, 4):
        outputs = [pb.ModelOutput(model_id=model_id, step=step)]
        await runs.LogOutputs(service.LogOutputsRequest(run_id=run.run_id, models=outputs))
    after = await get(runs, run.run_id)
    assert list(after.dataset_inputs) == list(request.datasets)
    assert list(after.model_inputs) == list(request.models)
    assert [(o.model_id, o.step) for o in after.model_outputs] == [(model_id, 4)]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        pytest.param(dataset(name=""), "INVALID_NAME", id="no name"),
        pytest.param(dataset(digest=""), "INVALID_NAME", id="no digest"),
        pytest.param(dataset(name="n" * 501), "LIMIT_EXCEEDED", id="long name"),
        pytest.param(dataset(digest="n" * 37), "LIMIT_EXCEEDED", id="long digest"),
        pytest.param(dataset(source="n" * 65_536), "LIMIT_EXCEEDED", id="long source"),
        pytest.param(dataset(schema="n" * 1_048_577), "LIMIT_EXCEEDED", id="long schema"),
        pytest.param(dataset(profile="é" * 524_289), "LIMIT_EXCEEDED", id="long profile"),
        pytest.param(dataset(tags=[("k", "v" * 501)]), "LIMIT_EXCEEDED", id="long tag"),
        pytest.param(dataset(tags=[(f"k{i}", "v") for i in range(101)]), "LIMIT_EXCEEDED", id="many tags"),
    ],
)
async def test_bad_dataset_inputs_are_refused(runs, run, refused, item, reason):
    call = runs.LogInputs(service.LogInputsRequest(run_id=run.run_id, datasets=[item]))
    await refused(call, "INVALID_ARGUMENT", reason)


async def test_large_datasets_come_one_per_page(runs, run):
    for name in ("a", "b", "c"):
        item = dataset(name=name, schema="s" * 1_048_576, profile="p" * 1_048_576)
        await runs.LogInputs(service.LogInputsRequest(run_id=run.run_id, datasets=[item]))
    names, token, first = [], "", True
    while token or first:
        page = await runs.GetRun(service.GetRunRequest(run_id=run.run_id, page_token=token))
        assert page.ByteSize() < 3 << 20
        names += [item.dataset.name for item in page.run.dataset_inputs]
        token, first = page.next_page_token, False
    assert names == ["a", "b", "c"]


async def test_links_to_unknown_models_are_refused(runs, run, refused):
    unknown = "m-" + "0" * 32
    inputs = service.LogInputsRequest(run_id=run.run_id, models=[pb.ModelInput(model_id=unknown)])
    await refused(runs.LogInputs(inputs), "NOT_FOUND", "MODEL_NOT_FOUND")
    outputs = service.LogOutputsRequest(run_id=run.run_id, models=[pb.ModelOutput(model_id=unknown)])
    await refused(runs.LogOutputs(outputs), "NOT_FOUND", "MODEL_NOT_FOUND")
    too_many = service.LogOutputsRequest(run_id=run.run_id, models=[pb.ModelOutput(model_id=unknown)] * 101)
    await refused(runs.LogOutputs(too_many), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")


async def test_retried_batch_has_one_effect(runs, run):
    fields = {"metrics": [Metric(key="m", value=1)], "request_id": "r"}
    await log(runs, run.run_id, **fields)
    await log(runs, run.run_id, **fields)
    assert len((await history(runs, run.run_id)).metrics) == 1
