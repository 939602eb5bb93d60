"""Streams a file to a reader and goes on while it grows, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

from holdfast.v1 import live_artifact_service_pb2 as pb
from holdfast_server.domain.live import MAX_TAIL, LiveState
from holdfast_server.rpc.byte_budget import ByteBudget
from holdfast_server.rpc.convert.live import STATE_TO_PROTO
from holdfast_server.services.live_pieces import Source
from holdfast_server.services.live_tails import TailService

# Below the 20 s that the protocol promises.
HEARTBEAT = 15.0


class TailSender:
    """Sends what is there, then what is appended, then the end."""

    def __init__(self, service: TailService, budget: ByteBudget) -> None:
        self._service, self._budget = service, budget

    async def send(self, source: Source, offset: int, *, follow: bool) -> AsyncIterator[pb.TailArtifactResponse]:
        """Messages from ``offset`` on, header first."""
        live_id = source.live.id if source.live else ""
        header = pb.TailHeader(live_id=live_id, start_offset=offset, size=source.size, digest=source.digest)
        yield pb.TailArtifactResponse(header=header)
        while True:
            source, pieces = await self._service.look(source, offset)
            # Held until the peer took the last of it and asks for more. Those who are at the end of a log, which are
            # many, need little and do not wait for those who fetch much.
            size = sum(piece.length for piece in pieces)
            held = size if size > MAX_TAIL else 0
            if held:  # even nothing would wait its turn
                await self._budget.acquire(held)
            try:
                chunks = await self._service.read(source, pieces, offset) if pieces else []
                if chunks is None:
                    continue
                for digest, data in chunks:
                    yield pb.TailArtifactResponse(data=pb.TailData(offset=offset, data=data, digest=digest))
                    offset += len(data)
            finally:
                self._budget.release(held)
            if source.state is LiveState.REPLACED or (offset >= source.size and not _may_grow(source, follow)):
                break
            if offset >= source.size and not await self._service.wait(source, HEARTBEAT):
                yield pb.TailArtifactResponse(heartbeat=pb.TailHeartbeat(size=source.size))
        end = pb.TailEnd(state=STATE_TO_PROTO[source.state], size=source.size, digest=source.digest)
        yield pb.TailArtifactResponse(end=end)


def _may_grow(source: Source, follow: bool) -> bool:
    return follow and source.state is LiveState.OPEN
