"""Points of metrics in RunService: what is kept, in which order it comes back, and what repeated writes leave."""

from __future__ import annotations

import math
import struct

import pytest
from tests.rpc.run_api import Metric, at, get, history, log

from holdfast.v1 import model_service_pb2
from holdfast.v1 import run_service_pb2 as service


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
