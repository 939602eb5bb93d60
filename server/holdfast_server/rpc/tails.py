"""Streams a file to a reader and goes on while it grows, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from holdfast.v1 import live_artifact_service_pb2 as pb
from holdfast_server.domain.live import MAX_TAIL, LiveState, Piece
from holdfast_server.rpc.byte_budget import ByteBudget, Share
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
        share = Share(self._budget)
        try:
            while True:
                source, pieces = await self._look(source, offset, share)
                if pieces:
                    source, chunks = await self._service.read(source, pieces, offset)
                    if share.held:
                        share.lend(chunks.clear)  # what is not sent then is read again
                    while chunks:
                        digest, data = chunks.pop(0)
                        yield pb.TailArtifactResponse(data=pb.TailData(offset=offset, data=data, digest=digest))
                        share.touch()
                        offset += len(data)
                    data = b""  # who follows a log keeps nothing while it waits, perhaps for hours
                share.keep(0)  # the peer took the last of it and asks for more
                if source.state is LiveState.REPLACED or (offset >= source.size and not _may_grow(source, follow)):
                    break
                if offset >= source.size and not await self._service.wait(source, HEARTBEAT):
                    yield pb.TailArtifactResponse(heartbeat=pb.TailHeartbeat(size=source.size))
        finally:
            share.keep(0)
        end = pb.TailEnd(state=STATE_TO_PROTO[source.state], size=source.size, digest=source.digest)
        yield pb.TailArtifactResponse(end=end)

    async def _look(self, source: Source, offset: int, share: Share) -> tuple[Source, Sequence[Piece]]:
        """What is to be sent next, with room for it."""
        while True:
            source, pieces = await self._service.look(source, offset)
            # Those who are at the end of a log, which are many, need little and do not wait for those who fetch much.
            size = sum(piece.length for piece in pieces)
            needed = size if size > MAX_TAIL else 0
            if needed > share.held:
                share.keep(0)
                is_free = share.has_free(needed)
                await share.acquire(needed)
                if not is_free:
                    continue  # pieces are joined and moved while a file grows: those seen before the wait may be gone
            share.keep(needed)
            return source, pieces


def _may_grow(source: Source, follow: bool) -> bool:
    return follow and source.state is LiveState.OPEN
