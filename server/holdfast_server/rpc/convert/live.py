"""Live artifacts to and from their messages."""

from __future__ import annotations

from holdfast.v1 import live_artifact_pb2 as pb
from holdfast.v1 import live_artifact_service_pb2 as service_pb
from holdfast_server.domain.live import LiveFile, LiveState, OpenMode
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.artifacts import owner_to_proto
from holdfast_server.rpc.convert.times import ms_to_proto

STATE_TO_PROTO = {
    LiveState.OPEN: pb.LIVE_STATE_OPEN,
    LiveState.CLOSED: pb.LIVE_STATE_CLOSED,
    LiveState.REPLACED: pb.LIVE_STATE_REPLACED,
}
_MODE_FROM_PROTO = {
    service_pb.OPEN_MODE_CREATE: OpenMode.CREATE,
    service_pb.OPEN_MODE_APPEND: OpenMode.APPEND,
    service_pb.OPEN_MODE_EXCLUSIVE: OpenMode.EXCLUSIVE,
}


def mode_from_proto(mode: service_pb.OpenMode) -> OpenMode:
    """Raises ``InvalidArgument`` for a mode that is none."""
    found = _MODE_FROM_PROTO.get(mode)
    if found is None:
        raise InvalidArgument(
            "A mode is OPEN_MODE_CREATE, OPEN_MODE_APPEND or OPEN_MODE_EXCLUSIVE; the request names none.", field="mode"
        )
    return found


def live_to_proto(live: LiveFile) -> pb.LiveArtifact:
    """The message of a live artifact."""
    return pb.LiveArtifact(
        live_id=live.id,
        owner=owner_to_proto(live.owner),
        path=live.path,
        state=STATE_TO_PROTO[live.state],
        size=live.size,
        open_time=ms_to_proto(live.open_time),
        renew_time=ms_to_proto(live.update_time),
        digest=live.digest,
        sequence=live.sequence,
    )
