"""ServerService over the wire."""

from __future__ import annotations

import time
from pathlib import Path

import grpc

from holdfast.v1 import server_service_pb2 as pb
from holdfast.v1.server_service_pb2_grpc import ServerServiceStub
from holdfast_server.rpc.registration import SERVICES


async def test_it_tells_what_runs_and_whether_it_works(channel: grpc.aio.Channel, tmp_path: Path):
    before = time.time()
    info = await ServerServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest())
    assert before - 0.001 <= info.server_time.ToMilliseconds() / 1000 <= time.time()
    assert info.server_version
    assert set(info.services) == set(SERVICES)
    assert info.sqlite_version.count(".") == 2
    assert info.sqlite_journal in {"wal", "delete"}
    assert 0 < info.data_free_bytes < info.data_total_bytes
    assert not info.store_is_s3
    assert {check.name: check.problem for check in info.checks} == {"database": "", "store": ""}
    assert all(check.duration.ToNanoseconds() > 0 for check in info.checks)
    assert str(tmp_path).encode() not in info.SerializeToString()
