"""Health follows a store that goes away and comes back: MinIO is killed and started again under a real server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.minio_fixtures import running_minio
from tests.minio_server import MinioServer
from tests.rpc.metrics_page import Metrics, fetch
from tests.server_process import running_server

pytestmark = [pytest.mark.slow, pytest.mark.minio]

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def own_minio() -> Iterator[MinioServer]:
    """One that no other test uses, as it is killed."""
    with running_minio() as server:
        yield server


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_health_follows_the_store(own_minio: MinioServer, tmp_path: Path):
    arguments = (
        "--port=0",
        f"--data-dir={tmp_path}",
        f"--store={own_minio.store_url('blocks')}",
        "--probe-interval=0.2",
        "--metrics-address=127.0.0.1:0",
    )
    with (
        running_server(*arguments, environment=own_minio.environment) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)

        def serves(service: str = "") -> bool:
            request = health_pb2.HealthCheckRequest(service=service)
            return bool(stub.Check(request, timeout=30).status == SERVING)

        assert serves()
        own_minio.kill()
        wait_until(lambda: not serves())
        assert not serves("holdfast.v1.ArtifactService")
        assert serves("holdfast.v1.RunService")
        line = server.line("Metrics on ")
        port = int(line.rpartition(":")[2].partition("/")[0])
        status, _, text = fetch(port, "/readyz")
        assert status == 503
        assert "store: The block store" in text
        found = Metrics(fetch(port, "/metrics")[2])
        assert found.value("holdfast_ready", {"probe": "store"}) == 0
        assert found.value("holdfast_ready", {"probe": "database"}) == 1
        name, failed = "holdfast_store_operation_seconds_count", {"operation": "put", "outcome": "failed"}
        wait_until(lambda: Metrics(fetch(port, "/metrics")[2]).value(name, failed) >= 1)
        own_minio.restart()
        wait_until(serves)
        assert fetch(port, "/readyz")[0] == 200
        assert server.stop() == 0
    log = "\n".join(server.lines)
    assert "not ready: store: " in log
    assert "ready again: store" in log
    assert own_minio.secret_key not in log
