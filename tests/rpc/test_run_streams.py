"""Field masks, streams of runs and charts, over a real socket."""

from __future__ import annotations

import math

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import metric_chart_pb2
from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service
from holdfast_server.rpc import run_search
from holdfast_server.storage.sql.runs import SqlRuns

Tag, Param, Metric = experiment_pb.Tag, pb.Param, pb.Metric


async def create(runs, name, start=0, **fields):
    request = service.CreateRunRequest(run_name=name, start_time=Timestamp(seconds=start), **fields)
    return (await runs.CreateRun(request)).run.run_id


async def log(runs, run_id, **fields):
    await runs.LogBatch(service.LogBatchRequest(run_id=run_id, **fields))


async def stream(runs, **fields):
    request = service.StreamRunsRequest(**{"experiment_ids": ["0"], **fields})
    return [message async for message in runs.StreamRuns(request)]


@pytest.fixture
async def full(runs):
    """A run with something in each of its lists."""
    run_id = await create(runs, "full")
    await log(
        runs,
        run_id,
        metrics=[Metric(key="loss", value=0.1), Metric(key="val/acc 1", value=1)],
        params=[Param(key="opt", value="adam"), Param(key="a.b", value="x")],
        tags=[Tag(key="team", value="red")],
    )
    datasets = [pb.DatasetInput(dataset=pb.Dataset(name="iris", digest="d"))]
    await runs.LogInputs(service.LogInputsRequest(run_id=run_id, datasets=datasets))
    return run_id


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        pytest.param(["metrics.loss"], {"metrics": ["loss"]}, id="one metric"),
        pytest.param(["metrics.val/acc 1", "params.a.b"], {"metrics": ["val/acc 1"], "params": ["a.b"]}, id="odd keys"),
        pytest.param(["params", "tags.team"], {"params": ["a.b", "opt"], "tags": ["team"]}, id="a whole list"),
        pytest.param(["params.*", "params.opt"], {"params": ["a.b", "opt"]}, id="a star"),
        pytest.param(["tags.mlflow.runName", "tags.absent"], {"tags": ["mlflow.runName"]}, id="absent keys"),
        pytest.param(["attributes"], {}, id="nothing else"),
    ],
)
async def test_answers_hold_what_is_asked_for(runs, full, fields, held):
    request = service.SearchRunsRequest(experiment_ids=["0"], fields=fields)
    (found,) = (await runs.SearchRuns(request)).runs
    (message,) = await stream(runs, fields=fields)
    assert message.runs == [found]
    assert (found.run_id, found.run_name, found.truncated) == (full, "full", False)
    lists = ("params", "tags", "metrics", "dataset_inputs", "model_inputs", "model_outputs")
    assert {name: [item.key for item in getattr(found, name)] for name in lists if getattr(found, name)} == held


async def test_columns_hold_what_lists_hold(runs, full):
    model_run = await create(runs, "measured")
    metrics = [
        Metric(key="a", value=math.nan, step=-3, timestamp=Timestamp(seconds=5, nanos=7_000_000)),
        Metric(key="b", value=-0.0, dataset_name="iris", dataset_digest="d"),
        Metric(key="c", value=math.inf, step=1 << 62),
    ]
    await log(runs, model_run, metrics=metrics)
    await create(runs, "bare")
    for fields in ([], ["metrics.loss", "params"], ["attributes"]):
        request = service.SearchRunsRequest(experiment_ids=["0"], fields=fields)
        listed = list((await runs.SearchRuns(request)).runs)
        request.in_columns = True
        columns = list((await runs.SearchRuns(request)).runs)
        (streamed,) = await stream(runs, fields=fields, in_columns=True)
        assert list(streamed.runs) == columns
        assert [listed_again(run) for run in columns] == [str(run) for run in listed]


def listed_again(run):
    """The text of a run that came in columns, as it would have come in lists; NaN equals nothing, its text does."""
    assert [*run.params, *run.tags, *run.metrics] == []
    columns = run.columns
    none = [""] * len(columns.metric_keys)
    points = zip(
        columns.metric_keys,
        columns.metric_values,
        columns.metric_times_ms,
        columns.metric_steps,
        columns.metric_model_ids or none,
        columns.metric_dataset_names or none,
        columns.metric_dataset_digests or none,
        strict=True,
    )
    whole = pb.Run()
    whole.CopyFrom(run)
    whole.ClearField("columns")
    pairs = zip(columns.param_keys, columns.param_values, strict=True)
    whole.params.extend(Param(key=key, value=value) for key, value in pairs)
    whole.tags.extend(Tag(key=k, value=value) for k, value in zip(columns.tag_keys, columns.tag_values, strict=True))
    for key, value, time, step, model_id, name, digest in points:
        metric = whole.metrics.add(
            key=key, value=value, step=step, model_id=model_id, dataset_name=name, dataset_digest=digest
        )
        metric.timestamp.FromMilliseconds(time)
    return str(whole)


async def test_datasets_are_asked_for_by_name(runs, full):
    request = service.SearchRunsRequest(experiment_ids=["0"], fields=["dataset_inputs"])
    (found,) = (await runs.SearchRuns(request)).runs
    assert [item.dataset.name for item in found.dataset_inputs] == ["iris"]
    assert not found.params


@pytest.mark.parametrize("field", ["loss", "metric.loss", "metrics.", "metrics.a;b", "dataset_inputs.x", "", "*"])
async def test_fields_that_are_none_are_refused(runs, refused, field):
    request = service.SearchRunsRequest(experiment_ids=["0"], fields=[field])
    code = "INVALID_ARGUMENT"
    reason = "INVALID_NAME" if field.startswith("metrics.") else "INVALID_VALUE"
    assert (await refused(runs.SearchRuns(request), code, reason)).field == "fields"


async def test_pages_may_hold_different_fields(runs):
    for i in range(3):
        await create(runs, f"r{i}", i)
    first = await runs.SearchRuns(service.SearchRunsRequest(experiment_ids=["0"], page_size=2))
    token = first.next_page_token
    rest = await runs.SearchRuns(
        service.SearchRunsRequest(experiment_ids=["0"], page_token=token, fields=["attributes"])
    )
    assert [run.run_name for run in rest.runs] == ["r0"]


async def test_every_experiment_that_is_not_deleted_is_searched(runs, experiments, refused):
    ids = []
    for name in ("a", "b"):
        made = await experiments.CreateExperiment(experiment_service.CreateExperimentRequest(name=name))
        ids.append(made.experiment.experiment_id)
        await create(runs, name, len(ids), experiment_id=ids[-1])
    await create(runs, "c", 9)
    await experiments.DeleteExperiment(experiment_service.DeleteExperimentRequest(experiment_id=ids[0]))

    async def names(**fields):
        request = service.SearchRunsRequest(all_experiments=True, **fields)
        return [run.run_name for run in (await runs.SearchRuns(request)).runs]

    assert await names() == ["c", "b"]
    assert await names(view_type=experiment_pb.VIEW_TYPE_ALL) == ["c", "b"]
    assert await names(filter="start_time < 5000") == ["b"]
    both = service.SearchRunsRequest(all_experiments=True, experiment_ids=["0"])
    await refused(runs.SearchRuns(both), "INVALID_ARGUMENT", "INVALID_VALUE")
    assert [m.runs[0].run_name for m in await stream(runs, experiment_ids=[], all_experiments=True)] == ["c"]


async def test_a_stream_has_every_run_once_in_order(runs, monkeypatch):
    monkeypatch.setattr(run_search, "PART", 7)
    names = [f"r{i:02}" for i in range(50)]
    for i, name in enumerate(names):
        run_id = await create(runs, name, i // 3)
        if i % 4:
            await log(runs, run_id, metrics=[Metric(key="m", value=i % 5)])
    messages = await stream(runs, order_by=["metrics.m DESC", "run_name"])
    assert [len(message.runs) for message in messages] == [7] * 7 + [1]
    whole = await runs.SearchRuns(
        service.SearchRunsRequest(experiment_ids=["0"], order_by=["metrics.m DESC", "run_name"])
    )
    found = [run for message in messages for run in message.runs]
    assert found == list(whole.runs)
    assert sorted(run.run_name for run in found) == names
    assert await stream(runs, filter="run_name = 'none'") == []


async def test_a_stream_goes_on_where_it_broke(runs, monkeypatch, refused):
    monkeypatch.setattr(run_search, "PART", 2)
    for i in range(6):
        await create(runs, f"r{i}", i)
    call = runs.StreamRuns(service.StreamRunsRequest(experiment_ids=["0"]))
    first = await call.read()
    call.cancel()
    rest = await stream(runs, resume_token=first.resume_token)
    assert [run.run_name for message in [first, *rest] for run in message.runs] == [f"r{i}" for i in range(5, -1, -1)]
    assert await stream(runs, resume_token=rest[-1].resume_token) == []
    other = runs.StreamRuns(
        service.StreamRunsRequest(experiment_ids=["0"], filter="start_time > 0", resume_token=first.resume_token)
    )
    await refused(other.read(), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_messages_of_a_stream_stay_small(runs, monkeypatch):
    monkeypatch.setattr(run_search, "MESSAGE_BUDGET", 20_000)
    for i in range(9):
        run_id = await create(runs, f"r{i}", i)
        await log(runs, run_id, params=[Param(key=f"p{n}", value="x" * 1_000) for n in range(8 if i else 50)])
    messages = await stream(runs)
    assert [len(message.runs) for message in messages] == [2, 2, 2, 2, 1]
    assert len(messages[-1].runs[0].params) == 50


@pytest.mark.parametrize("in_columns", [False, True])
async def test_no_message_is_too_large_however_large_runs_are(runs, in_columns):
    counts = {"small": 1, "large": 250, "huge": 500}  # 6 kB each
    for start, (name, count) in enumerate(counts.items()):
        run_id = await create(runs, name, start)
        for first in range(0, count, 100):
            params = [Param(key=f"p{n}", value="x" * 6_000) for n in range(first, min(first + 100, count))]
            await log(runs, run_id, params=params)
    request = service.SearchRunsRequest(experiment_ids=["0"], in_columns=in_columns)
    pages = [await runs.SearchRuns(request)]
    while request.page_token != pages[-1].next_page_token and pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(await runs.SearchRuns(request))
    for messages in (await stream(runs, in_columns=in_columns), pages):
        assert all(message.ByteSize() < 3 << 20 for message in messages)
        found = [
            (run.run_name, len(run.columns.param_keys if in_columns else run.params), run.truncated)
            for message in messages
            for run in message.runs
        ]
        assert found == [("huge", 0, True), ("large", 250, False), ("small", 1, False)]


async def test_a_stream_searches_once_for_many_messages_and_goes_on_after_each(runs, monkeypatch):
    monkeypatch.setattr(run_search, "PART", 12)
    monkeypatch.setattr(run_search, "MESSAGE_BUDGET", 20_000)
    searches = []
    search = SqlRuns.search
    monkeypatch.setattr(SqlRuns, "search", lambda *args: searches.append(args) or search(*args))
    for i in range(20):
        run_id = await create(runs, f"r{i:02}", i // 3)
        params = [Param(key=f"p{n}", value="x" * 1_000) for n in range(8)]
        await log(runs, run_id, params=[*params, Param(key="o", value=str(i % 4))])
    messages = await stream(runs, order_by=["params.o DESC"])
    assert [len(message.runs) for message in messages] == [2] * 10
    assert len(searches) == 2
    whole = await runs.SearchRuns(service.SearchRunsRequest(experiment_ids=["0"], order_by=["params.o DESC"]))
    assert [run for message in messages for run in message.runs] == list(whole.runs)
    for number, message in enumerate(messages, 1):
        rest = await stream(runs, order_by=["params.o DESC"], resume_token=message.resume_token)
        assert [run for other in rest for run in other.runs] == list(whole.runs[2 * number :])


async def test_a_stream_has_runs_that_change_under_way_as_they_are_and_only_those_that_match(app, runs, monkeypatch):
    monkeypatch.setattr(run_search, "PART", 5)
    monkeypatch.setattr(run_search, "MESSAGE_BUDGET", 1)
    ids = []
    for i in range(8):
        ids.append(await create(runs, f"r{i}", 9 - i, tags=[Tag(key="place", value=str(i))]))
    request = service.StreamRunsRequest(experiment_ids=["0"], filter="status = 'RUNNING'", order_by=["tags.place"])
    # Read here, where nothing is sent ahead.
    found = run_search.stream_runs(app.database, request)
    messages = [await anext(found)]
    await runs.DeleteRun(service.DeleteRunRequest(run_id=ids[1]))
    await log(runs, ids[2], tags=[Tag(key="place", value="9")], params=[Param(key="late", value="x")])
    await runs.UpdateRun(service.UpdateRunRequest(run_id=ids[3], run_name="new"))
    # The last of the first part, and one of the second.
    for run_id in (ids[4], ids[6]):
        await runs.UpdateRun(service.UpdateRunRequest(run_id=run_id, status=pb.RUN_STATUS_FINISHED))
    messages += [message async for message in found]
    seen = [run for message in messages for run in message.runs]
    # The one that went to another place comes a second time there, as in pages.
    assert [run.run_name for run in seen] == ["r0", "r2", "new", "r5", "r7", "r2"]
    assert [param.key for param in seen[1].params] == ["late"]
    request.resume_token = messages[1].resume_token
    again = [run async for message in run_search.stream_runs(app.database, request) for run in message.runs]
    assert again == seen[2:]


async def test_bad_streams_are_refused(runs, refused):
    for fields, reason in (
        ({"filter": "metrics.loss <"}, "INVALID_FILTER"),
        ({"order_by": ["nonsense"]}, "INVALID_FILTER"),
        ({"experiment_ids": []}, "INVALID_VALUE"),
        ({"fields": ["nonsense"]}, "INVALID_VALUE"),
    ):
        request = service.StreamRunsRequest(**{"experiment_ids": ["0"], **fields})
        await refused(runs.StreamRuns(request).read(), "INVALID_ARGUMENT", reason)


async def chart(runs, run_id, **fields):
    request = service.GetMetricChartRequest(**{"run_id": run_id, "key": "m", **fields})
    return list((await runs.GetMetricChart(request)).buckets)


async def test_a_chart_sums_up_ranges_of_steps(runs):
    run_id = await create(runs, "r")
    values = [1.0, -2.0, math.nan, math.inf, math.nan, math.nan, 7.0, 3.0]
    metrics = [Metric(key="m", value=v, step=i, timestamp=Timestamp(seconds=i)) for i, v in enumerate(values)]
    await log(runs, run_id, metrics=metrics[::-1])
    two = await chart(runs, run_id, max_buckets=2)
    assert two == [
        metric_chart_pb2.MetricBucket(
            first_step=0, last_step=3, point_count=4, nan_count=1, minimum=-2, maximum=math.inf,
            last_value=math.inf, last_time=Timestamp(seconds=3),
        ),
        metric_chart_pb2.MetricBucket(
            first_step=4, last_step=7, point_count=4, nan_count=2, minimum=3, maximum=7,
            last_value=3, last_time=Timestamp(seconds=7),
        ),
    ]  # fmt: skip
    (one,) = await chart(runs, run_id, max_buckets=1)
    assert (one.first_step, one.last_step, one.point_count, one.minimum) == (0, 7, 8, -2)
    (nan,) = await chart(runs, run_id, min_step=4, max_step=5, max_buckets=1)
    assert (nan.nan_count, nan.HasField("minimum"), nan.HasField("maximum")) == (2, False, False)
    assert len(await chart(runs, run_id)) == 8
    assert await chart(runs, run_id, min_step=8) == await chart(runs, run_id, key="absent") == []


async def test_bad_charts_are_refused(runs, refused):
    run_id = await create(runs, "r")
    await refused(chart(runs, run_id, max_buckets=5_001), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
    await refused(chart(runs, run_id, max_buckets=-1), "INVALID_ARGUMENT", "INVALID_VALUE")
    await refused(chart(runs, run_id, min_step=2, max_step=1), "INVALID_ARGUMENT", "INVALID_VALUE")
    await refused(chart(runs, run_id, key="a;b"), "INVALID_ARGUMENT", "INVALID_NAME")
    await refused(chart(runs, "0" * 32), "NOT_FOUND", "RUN_NOT_FOUND")


async def test_replayed_batches_count_once_in_a_chart(runs):
    run_id = await create(runs, "r")
    batches = [
        [Metric(key="m", value=i, step=i) for i in range(start, start + 1_000)] for start in range(0, 9_000, 1_000)
    ]
    for _ in range(2):
        for number, metrics in enumerate(batches):
            await log(runs, run_id, metrics=metrics, writer_id="w", writer_sequence=number * 1_000)
    buckets = await chart(runs, run_id, max_buckets=100)
    assert sum(bucket.point_count for bucket in buckets) == 9_000
    assert [bucket.minimum for bucket in buckets] == [bucket.first_step for bucket in buckets]


async def test_history_is_read_for_some_steps(runs, refused):
    run_id = await create(runs, "r")
    await log(runs, run_id, metrics=[Metric(key="m", value=i, step=i % 5) for i in range(20)])

    async def steps(**fields):
        found, token, first = [], "", True
        while token or first:
            request = service.ListMetricHistoryRequest(run_id=run_id, key="m", page_size=3, page_token=token, **fields)
            page = await runs.ListMetricHistory(request)
            found += [metric.step for metric in page.metrics]
            token, first = page.next_page_token, False
        return found

    assert await steps(min_step=3) == [3] * 4 + [4] * 4
    assert await steps(min_step=1, max_step=2) == [1] * 4 + [2] * 4
    assert await steps(max_step=-1) == []
    await refused(steps(min_step=2, max_step=1), "INVALID_ARGUMENT", "INVALID_VALUE")
    page = await runs.ListMetricHistory(service.ListMetricHistoryRequest(run_id=run_id, key="m", page_size=3))
    other = service.ListMetricHistoryRequest(run_id=run_id, key="m", min_step=1, page_token=page.next_page_token)
    await refused(runs.ListMetricHistory(other), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_a_stream_that_is_left_holds_nothing_up(runs, monkeypatch):
    monkeypatch.setattr(run_search, "PART", 1)
    for i in range(5):
        await create(runs, f"r{i}")
    call = runs.StreamRuns(service.StreamRunsRequest(experiment_ids=["0"]))
    await call.read()
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    await create(runs, "after")
