"""``python -m tests.soak.crowd ADDRESS IDLE ACTIVE STALLED``: streams to a server, until its input ends.

A process of its own, so that what it costs is not taken for the server's slowness. It prints ``ready`` when all are
open, at the end how many blocks were moved, and fails when one of them ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import AsyncIterator

import grpc
from tests.rpc.artifact_api import ArtifactApi, inline

from holdfast.format.chunks import Chunk, encode_chunk
from holdfast.v1 import artifact_pb2 as artifact_pb
from holdfast.v1 import artifact_service_pb2 as pb
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1.experiment_service_pb2_grpc import ExperimentServiceStub

STREAMS_A_CONNECTION = 100
BLOCK = 64 << 10


class Crowd:
    """The streams, spread over connections."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stack = contextlib.AsyncExitStack()
        self._count = 0
        self._channel: grpc.aio.Channel | None = None
        self.open = self.moved = 0
        self._quiet = ""
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Crowd:  # noqa: PYI034 - Self is of Python 3.11
        async with grpc.aio.insecure_channel(self._address) as channel:
            request = experiment_service.CreateExperimentRequest(name="quiet")
            self._quiet = (await ExperimentServiceStub(channel).CreateExperiment(request)).experiment.experiment_id
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._stack.aclose()

    async def add(self, kind: str, count: int) -> None:
        """Open so many streams, and return when they are open."""
        wanted = self.open + count
        for _ in range(count):
            if self._count % STREAMS_A_CONNECTION == 0:
                options = [("grpc.use_local_subchannel_pool", 1)]
                channel = grpc.aio.insecure_channel(self._address, options=options)
                self._channel = await self._stack.enter_async_context(channel)
            self._count += 1
            assert self._channel is not None
            self.tasks.append(asyncio.create_task(getattr(self, kind)(self._channel)))
        while self.open < wanted:
            self.check()
            await asyncio.sleep(0.05)

    def check(self) -> None:
        """Raise what ended one of the streams."""
        for task in self.tasks:
            if task.done():
                task.result()
                raise AssertionError("a stream ended")

    async def idle(self, channel: grpc.aio.Channel) -> None:
        """A watch on which nothing happens but heartbeats."""
        request = experiment_service.WatchExperimentRequest(experiment_id=self._quiet)
        call = ExperimentServiceStub(channel).WatchExperiment(request)
        async for _ in self._counted(call):
            pass

    async def active(self, channel: grpc.aio.Channel) -> None:
        """An upload that sends a block whenever the one before is durable, and a download of its own now and then."""
        api = ArtifactApi(channel)
        owner = await api.new_run()
        await api.commit(owner, inline("f", b"x" * 10_000))
        answered = asyncio.Event()

        async def requests() -> AsyncIterator[bytes]:
            while True:
                data = os.urandom(BLOCK)
                block = artifact_pb.Block(digest=hashlib.sha256(data).digest(), data=data)
                answered.clear()
                yield pb.WriteBlocksRequest(blocks=[block]).SerializeToString()
                await answered.wait()
                async for _ in api.stub.ReadFile(pb.ReadFileRequest(owner=owner, path="f")):
                    pass

        async for response in self._counted(api.write_raw(requests())):
            if response.results:
                self.moved += len(response.results)
                answered.set()

    async def stalled(self, channel: grpc.aio.Channel) -> None:
        """An upload that sends a part of a block, and nothing more."""

        async def requests() -> AsyncIterator[bytes]:
            data = b"x" * (1 << 20)
            yield bytes(encode_chunk(Chunk(hashlib.sha256(data).digest(), len(data), memoryview(data)[:1_000])))
            await asyncio.Event().wait()

        async for _ in self._counted(ArtifactApi(channel).write_raw(requests())):
            pass

    async def _counted(self, call: AsyncIterator[object]) -> AsyncIterator[object]:
        first = True
        async for message in call:
            self.open += first
            first = False
            yield message


async def main() -> None:
    """Open what the command line says and wait for the end of the input."""
    address, idle, active, stalled = sys.argv[1], *map(int, sys.argv[2:])
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    async with Crowd(address) as crowd:
        await crowd.add("idle", idle)
        await crowd.add("active", active)
        await crowd.add("stalled", stalled)
        print("ready", flush=True)
        while not ended.is_set():
            crowd.check()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), 0.2)
        print(crowd.moved, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
