"""What a server refuses or slows down when there is too much of it, and what it answers all the same."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.rpc.artifact_api import ArtifactApi

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast.errors import ResourceExhaustedError
from holdfast.v1 import artifact_pb2
from holdfast.v1 import artifact_service_pb2 as artifact_service
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import run_service_pb2 as run_service
from holdfast.v1 import run_service_pb2_grpc as run_grpc
from holdfast_server.app import App
from holdfast_server.domain.access import Caller, Role, WorkerScope
from holdfast_server.errors import ResourceExhausted
from holdfast_server.rpc.limits import BURST_SECONDS, Limits, LimitTerms
from holdfast_server.services.callers import calling

WATCH = experiment_service.WatchExperimentRequest(experiment_id="0")
GET = experiment_service.GetExperimentRequest(experiment_id="0")


@pytest.fixture
def serving(server_config):
    """A server with other limits, and a channel to it."""

    @asynccontextmanager
    async def serve(**limits: Any) -> AsyncIterator[tuple[App, grpc.aio.Channel]]:
        app = App(dataclasses.replace(server_config, **limits))
        await app.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{app.ports[0]}") as channel:
                yield app, channel
        finally:
            await app.stop()

    return serve


def blocks(size: int) -> artifact_service.WriteBlocksRequest:
    """A message with one block."""
    data = os.urandom(size)
    block = artifact_pb2.Block(digest=hashlib.sha256(data).digest(), data=data)
    return artifact_service.WriteBlocksRequest(blocks=[block])


def advice(error: grpc.aio.AioRpcError) -> tuple[str, str, float]:
    """Code, the limit, and the seconds to wait."""
    details = dict(tuple(error.trailing_metadata() or ()))["grpc-status-details-bin"]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(details).details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    assert info.reason == "RESOURCE_EXHAUSTED"
    return error.code().name, info.metadata["limit"], retry.retry_delay.ToMilliseconds() / 1000


async def open_watch(channel: grpc.aio.Channel):
    """A stream that stays open, once it is."""
    call = experiment_grpc.ExperimentServiceStub(channel).WatchExperiment(WATCH)
    await call.read()
    return call


@pytest.mark.parametrize("limit", ["streams", "caller_streams"])
async def test_a_stream_over_the_limit_is_told_to_come_back_and_let_in_when_another_ends(serving, limit):
    async with serving(**{f"max_{limit}": 2}) as (app, channel):
        first, _second = [await open_watch(channel) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await open_watch(channel)
        assert advice(caught.value) == ("RESOURCE_EXHAUSTED", limit, 1.0)
        assert app.limits.refused[limit] == 1
        # Calls that are no streams go on.
        await experiment_grpc.ExperimentServiceStub(channel).GetExperiment(GET)
        first.cancel()
        await _until(lambda: app.limits.open_streams == 1)
        await open_watch(channel)


def silent(channel: grpc.aio.Channel, path: str) -> grpc.aio.StreamStreamCall:
    """A call whose message never comes."""
    call = channel.stream_stream(path, request_serializer=None, response_deserializer=None)

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    return call(nothing())


WATCH_PATH = "/holdfast.v1.ExperimentService/WatchExperiment"
GET_PATH = "/holdfast.v1.ExperimentService/GetExperiment"


@pytest.mark.parametrize("path", [WATCH_PATH, GET_PATH])
async def test_calls_without_a_message_take_no_streams_of_others_and_are_bounded(serving, path):
    async with serving(max_streams=1, max_strangers=3) as (app, channel):
        waiting = [silent(channel, path) for _ in range(3)]
        await _until(lambda: sum(app.limits._strangers_of.values()) == 3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await experiment_grpc.ExperimentServiceStub(channel).GetExperiment(GET)
        assert advice(caught.value) == ("RESOURCE_EXHAUSTED", "strangers", 1.0)
        waiting.pop().cancel()
        await _until(lambda: sum(app.limits._strangers_of.values()) == 2)
        await open_watch(channel)
        assert app.limits.open_streams == 1
        for call in waiting:
            call.cancel()
        await _until(lambda: not app.limits._strangers_of)


async def test_watches_of_the_health_take_no_streams_of_others_and_are_bounded(serving):
    async with serving(max_streams=1, max_strangers=2) as (app, channel):
        health = health_pb2_grpc.HealthStub(channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Watch(health_pb2.HealthCheckRequest()).read()
        assert advice(caught.value)[1] == "strangers"
        assert app.limits.open_streams == 0
        for watch in watches:
            watch.cancel()
        await _until(lambda: not app.limits._strangers_of)
        await open_watch(channel)


@pytest.mark.parametrize("path", [WATCH_PATH, GET_PATH, "/holdfast.v1.ArtifactService/WriteBlocks"])
async def test_who_shows_no_token_is_refused_before_a_message_is_waited_for(serving, path):
    async with serving(auth="tokens") as (app, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent(channel, path).read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert not app.limits._strangers_of


async def test_an_upload_over_the_limit_hears_why_although_it_is_sending(serving):
    async with serving(max_streams=1) as (_, channel):
        await open_watch(channel)
        api = ArtifactApi(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await api.write([blocks(100_000)] * 20)
        assert advice(caught.value)[1] == "streams"


async def test_calls_over_the_rate_are_told_when_to_come_back_and_health_checks_are_answered(serving):
    async with serving(max_caller_requests=5) as (_, channel):
        stub = experiment_grpc.ExperimentServiceStub(channel)

        async def call_often() -> None:
            for _ in range(1_000):
                await stub.GetExperiment(GET)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_often()
        code, limit, delay = advice(caught.value)
        assert (code, limit) == ("RESOURCE_EXHAUSTED", "caller_requests")
        assert 0.05 <= delay <= 1 / 5
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(50):
            answer = await health.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_python_client_waits_as_told_also_with_what_it_logs(serving):
    async with serving(max_caller_requests=10) as (app, _):

        def work() -> list[int]:
            with Client(f"holdfast://127.0.0.1:{app.ports[0]}") as client:
                run_id = client.create_run("0").info.run_id
                for step in range(30):
                    client.set_tag(run_id, "n", str(step))
                    client.log_metric(run_id, "m", 1.0, step=step)
                client.flush()
                return [point.step for point in client.get_metric_history(run_id, "m")]

        assert await asyncio.to_thread(work) == list(range(30))
        assert app.limits.refused["caller_requests"] > 0


async def test_the_python_client_gives_up_when_its_window_is_over_and_says_what_it_was_told(serving):
    async with serving(max_caller_streams=1) as (app, channel):
        await open_watch(channel)

        def work() -> ResourceExhaustedError:
            retry = RetryPolicy(window=1.5, first_window=1.5)
            with (
                Client(f"holdfast://127.0.0.1:{app.ports[0]}", retry=retry) as client,
                pytest.raises(ResourceExhaustedError) as caught,
            ):
                client.log_bytes(client.create_run("0").info.run_id, b"x" * 100_000, "f")
            return caught.value

        failure = await asyncio.to_thread(work)
        assert (failure.retry_after, failure.reason) == (1.0, "RESOURCE_EXHAUSTED")
        assert app.limits.refused["caller_streams"] >= 2


async def test_overload_holds_back_uploads_and_answers_what_is_small(serving):
    async with serving(max_waiting=4, block_threads=1, max_caller_streams=0) as (app, channel):
        release = threading.Event()
        blocked = [app._executor.submit(release.wait) for _ in range(8)]
        try:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ArtifactApi(channel).write([blocks(100_000)])
            assert advice(caught.value) == ("RESOURCE_EXHAUSTED", "waiting", 1.0)
            run = await run_grpc.RunServiceStub(channel).CreateRun(run_service.CreateRunRequest())
            request = run_service.LogBatchRequest(run_id=run.run.run_id)
            await run_grpc.RunServiceStub(channel).LogBatch(request)
            await run_grpc.RunServiceStub(channel).GetRun(run_service.GetRunRequest(run_id=run.run.run_id))
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

            def upload() -> None:
                with Client(f"holdfast://127.0.0.1:{app.ports[0]}") as client:
                    client.log_bytes(run.run.run_id, b"x" * 100_000, "f")
                    assert [file.path for file in client.list_artifacts(run.run.run_id)] == ["f"]

            uploading = asyncio.create_task(asyncio.to_thread(upload))
            await _until(lambda: app.limits.refused["waiting"] >= 2)
            release.set()
            await uploading
        finally:
            release.set()
            await asyncio.to_thread(lambda: [job.result() for job in blocked])


async def test_streams_of_a_caller_are_slowed_to_its_rate_and_arrive_whole(serving, tmp_path):
    async with serving(max_caller_rate=8 << 20) as (app, _):

        def work() -> bytes:
            with Client(f"holdfast://127.0.0.1:{app.ports[0]}") as client:
                run_id = client.create_run("0").info.run_id
                client.log_bytes(run_id, b"x" * (9 << 20), "f")
                return Path(client.download_artifacts(run_id, "f", str(tmp_path))).read_bytes()

        assert await asyncio.to_thread(work) == b"x" * (9 << 20)


class Context:
    def __init__(self, peer: str = "ipv4:10.0.0.1:7") -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def limited(**terms: int) -> tuple[Limits, Clock]:
    clock = Clock()
    return Limits(LimitTerms(**terms), lambda: 0, clock), clock


def count_until_refused(limits: Limits, context: Context) -> tuple[int, float]:
    allowed = 0

    def call_on() -> None:
        nonlocal allowed
        while True:
            limits.count_request("/x", context)
            allowed += 1

    with pytest.raises(ResourceExhausted) as caught:
        call_on()
    assert caught.value.retry_after is not None
    return allowed, caught.value.retry_after


def test_a_rate_may_be_used_at_once_after_a_pause_and_not_more():
    limits, clock = limited(caller_requests=8)
    allowed, delay = count_until_refused(limits, Context())
    assert (allowed, delay) == (8 * BURST_SECONDS, pytest.approx(1 / 8))
    clock.now += 1.0
    assert count_until_refused(limits, Context())[0] == 8
    clock.now += 3_600
    assert count_until_refused(limits, Context())[0] == allowed


def test_callers_are_principals_else_hosts_and_the_owner_is_not_bound():
    limits, _ = limited(caller_requests=8)
    allowed, _ = count_until_refused(limits, Context("ipv4:10.0.0.1:7"))
    assert count_until_refused(limits, Context("ipv4:10.0.0.1:8"))[0] == 0
    assert count_until_refused(limits, Context("ipv6:[::1]:8"))[0] == allowed
    with calling(Caller("ann", Role.READ)):
        assert count_until_refused(limits, Context("ipv4:10.0.0.1:7"))[0] == allowed
    scope = WorkerScope(owner="ann", run_id="ab" * 16)
    with calling(Caller("ann/0123", Role.WRITE, worker=scope)):  # or she could make as many as she likes
        assert count_until_refused(limits, Context("ipv4:10.0.0.3:7"))[0] == 0
    with calling(Caller("ann", Role.READ)):
        assert count_until_refused(limits, Context("ipv4:10.0.0.2:7"))[0] == 0
    for _ in range(100):
        limits.count_request("/x", Context("unix:"))


async def test_bytes_over_the_rate_are_waited_for(monkeypatch):
    limits, clock = limited(caller_rate=1_000)
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with limits.call("/x", Context(), is_stream=True) as call:
        await call.begin()
        for _ in range(10):
            await call.pace(1_000)
    assert sum(slept) == pytest.approx(10 - BURST_SECONDS)


def test_what_is_remembered_of_callers_is_bounded(monkeypatch):
    monkeypatch.setattr("holdfast_server.rpc.limits.MAX_REMEMBERED", 10)
    limits, clock = limited(caller_requests=1)
    for number in range(25):
        limits.count_request("/x", Context(f"ipv4:10.0.0.{number}:1"))
        clock.now += 0.1
    assert len(limits._requests._paid_at) <= 11


async def _until(is_so) -> None:
    for _ in range(3_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")
