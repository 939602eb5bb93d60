"""Changes of the registry between messages and domain values."""

from __future__ import annotations

from typing import Any

from holdfast.v1 import registry_change_pb2 as pb
from holdfast_server.domain.registry_history import Actor, Change, ChangeKind, RecordedChange
from holdfast_server.rpc.convert.times import ms_from_proto, ms_to_proto

_KINDS: dict[ChangeKind, Any] = {
    kind: pb.RegistryChangeKind.Value(f"REGISTRY_CHANGE_KIND_{kind.name}") for kind in ChangeKind
}
_FROM_KIND: dict[int, ChangeKind] = {number: kind for kind, number in _KINDS.items()}


def change_to_proto(recorded: RecordedChange) -> pb.RegistryChange:
    """A recorded change as a message."""
    change = recorded.change
    return pb.RegistryChange(
        change_id=recorded.number,
        change_time=ms_to_proto(recorded.time),
        principal=recorded.actor.principal,
        user_id=recorded.actor.user_id,
        kind=_KINDS[change.kind],
        name=change.name,
        version=change.version,
        key=change.key,
        old_value=change.old,
        new_value=change.new,
        tree_digest=change.tree_digest,
    )


def change_from_proto(message: pb.RegistryChange) -> RecordedChange:
    """A recorded change from a message that this server made."""
    change = Change(
        kind=_FROM_KIND[message.kind],
        name=message.name,
        version=message.version,
        key=message.key,
        old=message.old_value if message.HasField("old_value") else None,
        new=message.new_value if message.HasField("new_value") else None,
        tree_digest=message.tree_digest,
    )
    time = ms_from_proto(message.change_time, field="change_time")
    return RecordedChange(message.change_id, time, Actor(message.principal, message.user_id), change)
