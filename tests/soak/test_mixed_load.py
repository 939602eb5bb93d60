"""A server under everything at once for minutes: what it takes does not grow, and nothing fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tests.rpc.artifact_api import ArtifactApi, inline, sha
from tests.server_process import running_server
from tests.soak.measuring import Samples, anonymous_bytes, descriptors, heap_bytes

from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import run_pb2
from holdfast.v1 import run_service_pb2 as run_service
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from holdfast.v1.run_service_pb2_grpc import RunServiceStub

MIB = 1 << 20
# Three minutes in CI; 1800 by hand.
SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS") or 180)
CLIENTS = 6
# How much more memory a server may have at the end than after it warmed up.
MAX_GROWTH = 48 * MIB
# Seconds after which the clients rest, and the heap is looked at.
REST_EVERY = 5.0
# MiB an hour of the heap, in a run that is long enough to tell: 200 bytes that are kept of each round would make more.
LONG, MAX_SLOPE = 1_800, 10.0
# And of any, as in a short one caches still fill.
MAX_HEAP_GROWTH = 24 * MIB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 300)]


class Rests:
    """Brings clients to rest together, since what is under way is no measure of what is kept."""

    def __init__(self) -> None:
        self._going = asyncio.Event()
        self._going.set()
        self._working = 0
        self._idle = asyncio.Event()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A piece of work, begun when nobody is to rest."""
        await self._going.wait()
        self._working += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()

    @contextlib.asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """Nobody works."""
        self._going.clear()
        await asyncio.wait_for(self._idle.wait(), 60)
        # What was cancelled last ends on the server meanwhile.
        await asyncio.sleep(0.3)
        try:
            yield
        finally:
            self._going.set()


class Client:
    """Does one thing after the other, on connections that come and go."""

    def __init__(self, address: str, rests: Rests) -> None:
        self._address, self._rests, self.rounds = address, rests, 0

    async def work(self, until: float) -> None:
        while time.monotonic() < until:
            async with grpc.aio.insecure_channel(
                self._address, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                for _ in range(20):
                    async with self._rests.working():
                        await self._round(channel)
                    self.rounds += 1
                    if time.monotonic() >= until:
                        break

    async def _round(self, channel: grpc.aio.Channel) -> None:
        api, runs = ArtifactApi(channel), RunServiceStub(channel)
        owner = await api.new_run()
        for start in (0, 100):
            metrics = [run_pb2.Metric(key="m", step=step, value=step) for step in range(start, start + 100)]
            await runs.LogBatch(
                run_service.LogBatchRequest(run_id=owner.run_id, metrics=metrics, writer_id="w", writer_sequence=start)
            )
        watch = ExperimentServiceStub(channel).WatchExperiment(
            experiment_service.WatchExperimentRequest(experiment_id="0")
        )
        await watch.read()
        data = [os.urandom(300_000) for _ in range(3)]
        blocks = [artifact_pb.Block(digest=sha(part), data=part) for part in data]
        await api.write([pb.WriteBlocksRequest(blocks=[block]) for block in blocks])
        entry = pb.NewEntry(
            path="large", kind=artifact_pb.ENTRY_KIND_FILE, size=len(data[0]), block_digests=[blocks[0].digest]
        )
        await api.commit(owner, entry, *(inline(f"small/{number}", b"%d" % number) for number in range(20)))
        got = b"".join(
            [part.chunk.data async for part in api.stub.ReadFile(pb.ReadFileRequest(owner=owner, path="large"))]
        )
        assert len(got) >= len(data[0])
        await self._give_up_upload(api)
        await runs.SearchRuns(run_service.SearchRunsRequest(experiment_ids=["0"], page_size=20))
        await runs.ListMetricHistory(run_service.ListMetricHistoryRequest(run_id=owner.run_id, key="m"))
        await runs.UpdateRun(run_service.UpdateRunRequest(run_id=owner.run_id, status=run_pb2.RUN_STATUS_FINISHED))
        watch.cancel()

    @staticmethod
    async def _give_up_upload(api: ArtifactApi) -> None:
        """Leave in the middle of an upload, as what is killed does."""

        async def requests() -> AsyncIterator[bytes]:
            data = os.urandom(200_000)
            yield pb.WriteBlocksRequest(blocks=[artifact_pb.Block(digest=sha(data), data=data)]).SerializeToString()
            await asyncio.Event().wait()

        call = api.write_raw(requests())
        await call.read()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call.read()


async def test_mixed_load_leaves_memory_and_descriptors_flat(tmp_path):
    socket = tmp_path / "heap.sock"
    with running_server(
        "--port=0", f"--data-dir={tmp_path / 'data'}", "--access-log=off",
        command=(sys.executable, Path(__file__).with_name("watched_server.py"), socket),
        environment={"PYTHONMALLOC": "malloc"},
    ) as server:  # fmt: skip
        pid = server.process.pid
        begin = time.monotonic()
        rests = Rests()
        clients = [Client(server.address, rests) for _ in range(CLIENTS)]
        memory, files, heap = Samples(), Samples(), Samples()
        # Until caches are full, which takes over ten thousand rounds, threads have begun and the allocator has what it
        # needs at the worst moment.
        warm_up = begin + (max(30.0, SECONDS / 3) if 90 <= SECONDS < LONG else SECONDS * 2 / 3)
        next_rest = warm_up
        work = [asyncio.create_task(client.work(begin + SECONDS)) for client in clients]
        while not all(task.done() for task in work):
            await asyncio.wait(work, timeout=1.0, return_when=asyncio.FIRST_EXCEPTION)
            if any(task.done() and task.exception() for task in work):
                break
            if time.monotonic() >= warm_up:
                memory.add(anonymous_bytes(pid))
                files.add(descriptors(pid))
            if time.monotonic() >= next_rest:
                async with rests.rest():
                    heap.add(await asyncio.to_thread(heap_bytes, socket))
                next_rest = time.monotonic() + REST_EVERY
        await asyncio.gather(*work)
        slope = heap.slope() * 3600 / MIB if len(heap.values) > 1 else 0.0
        amounts, opened = [value for _, value in memory.values], [value for _, value in files.values]
        sys.stderr.write(
            f"\n{sum(client.rounds for client in clients)} rounds in {SECONDS:g} s:"
            f" heap at rest {slope:+.2f} MiB/h, medians of fifths {_told(heap)} MiB;"
            f" memory of the process {_told(memory)} MiB; descriptors {min(opened):g} to {max(opened):g};"
            f" load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n"
        )
        tenth = max(1, len(amounts) // 10)
        early, late = sorted(amounts[:tenth])[tenth // 2], sorted(amounts[-tenth:])[tenth // 2]
        assert late - early < MAX_GROWTH
        fifths = heap.medians(5)
        assert fifths[-1] - fifths[0] < MAX_HEAP_GROWTH
        assert SECONDS < LONG or slope < MAX_SLOPE
        assert max(opened[-tenth:]) - max(opened[:tenth]) < 4 * CLIENTS
        assert not [line for line in server.lines if " ERROR " in line or "Traceback" in line]
        assert server.stop() == 0


def _told(samples: Samples) -> str:
    return ", ".join(f"{value / MIB:.1f}" for value in samples.medians(5))
