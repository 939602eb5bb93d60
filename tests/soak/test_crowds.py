"""Many streams at once: those that do nothing and those that stall keep nobody from being answered."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server_process import ServerProcess, running_server
from tests.soak.measuring import percentile, timed

from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Seconds; a server that stalls takes longer by far, and one that is short of a core less.
STALL = 15.0


@contextlib.contextmanager
def crowd(server: ServerProcess, *, idle: int = 0, active: int = 0, stalled: int = 0) -> Iterator[None]:
    """Streams that are open within this block; none of them has ended before its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.crowd", server.address, str(idle), str(active), str(stalled)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        if not ready:
            pytest.fail(process.communicate()[1])
        yield
        moved, errors = process.communicate("end", timeout=120)
        assert process.returncode == 0, errors
        assert int(moved) >= active
        sys.stderr.write(f"{int(moved)} blocks of 64 KiB were uploaded meanwhile\n")
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def report(what: str, seconds: list[float]) -> None:
    """Tell what was measured, and on how busy a machine."""
    shown = ", ".join(f"p{share * 100:g} {percentile(seconds, share) * 1000:.1f} ms" for share in (0.5, 0.99, 1))
    load = os.getloadavg()[0]
    sys.stderr.write(f"\n{what}: {shown} of {len(seconds)}; load {load:.1f} on {os.cpu_count()} cores\n")


async def test_a_thousand_idle_and_two_hundred_active_streams_leave_small_calls_answered(tmp_path):
    with (
        running_server("--port=0", f"--data-dir={tmp_path / 'data'}") as server,
        crowd(server, idle=1_000, active=200),
    ):
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = ExperimentServiceStub(channel)
            request = experiment_service.GetExperimentRequest(experiment_id="0")
            seconds = await timed(lambda: stub.GetExperiment(request), 2_000)
        report("unary calls beside 1,000 idle and 200 active streams", seconds)
        assert max(seconds) < STALL


async def test_five_hundred_stalled_streams_leave_health_checks_answered(tmp_path):
    # All are let in, although most of them wait for memory.
    arguments = ("--port=0", f"--data-dir={tmp_path / 'data'}", "--idle-timeout=600", "--max-waiting=0")
    with (
        running_server(*arguments) as server,
        crowd(server, stalled=500),
    ):
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            seconds = await timed(lambda: stub.Check(health_pb2.HealthCheckRequest()), 2_000)
        report("health checks beside 500 stalled streams", seconds)
        assert max(seconds) < STALL
