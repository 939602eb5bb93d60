"""Short calls of RunService."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.v1 import experiment_pb2 as experiment_pb
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
