"""LiveArtifactService over gRPC: parse, call, convert."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from holdfast.format.digests import BLOCK_SIZE
from holdfast.v1 import live_artifact_service_pb2 as pb
from holdfast.v1 import live_artifact_service_pb2_grpc as service_grpc
from holdfast_server.domain.live import MAX_TAIL, Append, LiveFile
from holdfast_server.domain.paths import check_path
from holdfast_server.errors import Conflict, InvalidArgument
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.convert import live as convert
from holdfast_server.rpc.convert.artifacts import digest_from_proto, owner_from_proto
from holdfast_server.rpc.mutations import mutate
from holdfast_server.rpc.tails import TailSender
from holdfast_server.services.live_artifacts import LiveArtifactService, list_live, open_live
from holdfast_server.services.live_pieces import Source, get_live
from holdfast_server.services.live_tails import TailService
from holdfast_server.services.ports.database import Database, Transaction


class LiveArtifactServicer(service_grpc.LiveArtifactServiceServicer):
    """Implements ``holdfast.v1.LiveArtifactService``."""

    def __init__(
        self,
        database: Database,
        service: LiveArtifactService,
        tails: TailService,
        small_writes: ByteBudget,
        *,
        tails_budget: ByteBudget,
    ) -> None:
        self._database, self._service, self._tails = database, service, tails
        self._writing = small_writes
        self._sender = TailSender(tails, tails_budget)

    async def OpenLiveArtifact(self, request: pb.OpenLiveArtifactRequest, context: Any) -> pb.OpenLiveArtifactResponse:
        """Make the caller the writer of a path."""
        owner, path = owner_from_proto(request.owner), check_path(request.path)
        mode = convert.mode_from_proto(request.mode)

        def job(tx: Transaction) -> pb.OpenLiveArtifactResponse:
            live = open_live(tx, owner, path, mode)
            return pb.OpenLiveArtifactResponse(live_artifact=convert.live_to_proto(live), writer=live.writer)

        return await mutate(self._database, request, pb.OpenLiveArtifactResponse, job)

    async def AppendLiveArtifact(
        self, request: pb.AppendLiveArtifactRequest, context: Any
    ) -> pb.AppendLiveArtifactResponse:
        """Add bytes, and make a block of them when they fill one."""
        append = Append(request.live_id, request.writer, request.offset, request.data)
        # Twice: as it came, and joined with what is at the end. A few bytes, which the database takes itself, need no
        # room: a log does not wait for a slow store.
        async with self._in_memory(2 * len(append.data) if len(append.data) > MAX_TAIL else 0):
            live = await self._service.append(append, request.digest)
        if live.in_blocks - live.full >= BLOCK_SIZE:
            async with self._in_memory(BLOCK_SIZE):
                await self._service.consolidate(live)
        return pb.AppendLiveArtifactResponse(size=live.size)

    async def CloseLiveArtifact(
        self, request: pb.CloseLiveArtifactRequest, context: Any
    ) -> pb.CloseLiveArtifactResponse:
        """Make a file of it."""
        async with self._in_memory(BLOCK_SIZE):
            live = await self._service.close(request.live_id, request.writer, request.size)
        return pb.CloseLiveArtifactResponse(live_artifact=convert.live_to_proto(live))

    async def GetLiveArtifact(self, request: pb.GetLiveArtifactRequest, context: Any) -> pb.GetLiveArtifactResponse:
        """Read one."""

        def read(tx: Transaction) -> LiveFile:
            return get_live(tx, request.live_id)

        return pb.GetLiveArtifactResponse(live_artifact=convert.live_to_proto(await self._database.read(read)))

    async def ListLiveArtifacts(
        self, request: pb.ListLiveArtifactsRequest, context: Any
    ) -> pb.ListLiveArtifactsResponse:
        """List what is being written."""
        owner = owner_from_proto(request.owner)
        found = await self._database.read(lambda tx: list_live(tx, owner))
        return pb.ListLiveArtifactsResponse(live_artifacts=map(convert.live_to_proto, found))

    async def TailArtifact(
        self, request: pb.TailArtifactRequest, context: Any
    ) -> AsyncIterator[pb.TailArtifactResponse]:
        """Stream a file, and what is appended to it."""
        source = await self._find(request)
        if request.offset > source.size:
            raise InvalidArgument(
                f"The file has {source.size} bytes, so nothing can be read from {request.offset} on.", field="offset"
            )
        offset = request.offset if request.offset >= 0 else max(0, source.size + request.offset)
        async with contextlib.aclosing(self._sender.send(source, offset, follow=request.follow)) as messages:  # type: ignore[type-var]
            async for message in messages:
                yield message

    async def _find(self, request: pb.TailArtifactRequest) -> Source:
        which = request.WhichOneof("source")
        if which is None:
            raise InvalidArgument("The request names no file; set uri or live_id.", field="uri")
        expected = digest_from_proto(request, "expected_digest") if request.expected_digest else b""
        if which == "live_id":
            if expected:
                raise InvalidArgument(
                    "A digest is expected of a file that a `uri` names; a live artifact is known by its id.",
                    field="expected_digest",
                )
            return await self._tails.get(request.live_id)
        source = await self._tails.find(request.uri)
        if expected and source.digest != expected:
            raise Conflict("The file is not the one that was expected: it was replaced. Tail it anew.")
        return source

    @contextlib.asynccontextmanager
    async def _in_memory(self, size: int) -> AsyncIterator[None]:
        """Count bytes that are put together; how many there are at once is bounded."""
        if size:  # even nothing would wait its turn
            await self._writing.acquire(size)
        try:
            yield
        finally:
            self._writing.release(size)
