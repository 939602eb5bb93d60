"""All points of a run in the order in which they arrived, over a real socket."""

from __future__ import annotations

import math

import pytest

from holdfast.v1 import artifact_service_pb2
from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service


@pytest.fixture
async def run_id(runs) -> str:
    return (await runs.CreateRun(service.CreateRunRequest())).run.run_id


async def log(runs, run_id: str, *metrics: pb.Metric) -> None:
    await runs.LogBatch(service.LogBatchRequest(run_id=run_id, metrics=metrics))


async def points(runs, run_id: str, first: int = 0, page_size: int = 0) -> service.ListMetricPointsResponse:
    request = service.ListMetricPointsRequest(run_id=run_id, start_position=first, page_size=page_size)
    return await runs.ListMetricPoints(request)


async def test_points_come_in_the_order_of_their_arrival_and_keep_their_positions(runs, run_id):
    await log(runs, run_id, pb.Metric(key="z", value=1, step=5), pb.Metric(key="a", value=math.nan, step=9))
    before = await points(runs, run_id)
    # Before all others by key and step.
    await log(runs, run_id, pb.Metric(key="a", value=-0.0, step=-1, dataset_name="d", dataset_digest="1"))
    after = await points(runs, run_id)
    assert [(m.key, m.step) for m in after.metrics] == [("z", 5), ("a", 9), ("a", -1)]
    assert [m.SerializeToString() for m in after.metrics[:2]] == [m.SerializeToString() for m in before.metrics]
    assert (after.metrics[2].dataset_name, math.copysign(1, after.metrics[2].value)) == ("d", -1)
    assert (before.point_count, after.point_count) == (2, 3)
    assert list((await points(runs, run_id, 2)).metrics) == list(after.metrics[2:])


async def test_pages_go_on_behind_each_other_to_the_end(runs, run_id):
    await log(runs, run_id, *(pb.Metric(key=f"k{i % 7}", value=i, step=-i) for i in range(100)))
    found: list[float] = []
    while page := (await points(runs, run_id, len(found), page_size=30)).metrics:
        assert len(page) <= 30
        found += [metric.value for metric in page]
    assert found == list(range(100))
    behind = await points(runs, run_id, 1 << 62)
    assert (list(behind.metrics), behind.point_count) == ([], 100)


async def test_a_run_without_points_and_one_that_is_not_there(runs, run_id, refused):
    assert await points(runs, run_id) == service.ListMetricPointsResponse()
    await refused(points(runs, "0" * 32), "NOT_FOUND", "RUN_NOT_FOUND")
    await refused(points(runs, run_id, -1), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_a_server_names_its_data(api, app):
    capabilities = await api.stub.GetCapabilities(artifact_service_pb2.GetCapabilitiesRequest())
    assert capabilities.store_id == app.database.block_store()[0] != ""
