"""Events as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from holdfast.v1 import event_pb2 as pb
from holdfast_server.domain.event import Event, EventType, Subject
from holdfast_server.errors import InvalidArgument
from holdfast_server.rpc.convert.times import ms_to_proto

_SUBJECTS: dict[Subject, Any] = {
    subject: pb.EventSubject.Value(f"EVENT_SUBJECT_{subject.value}") for subject in Subject
}
_TYPES: dict[EventType, Any] = {type_: pb.EventType.Value(f"EVENT_TYPE_{type_.value}") for type_ in EventType}
_FROM_TYPE: dict[int, EventType] = {number: type_ for type_, number in _TYPES.items()}
_OF_REGISTRY = {Subject.REGISTERED_MODEL, Subject.MODEL_VERSION, Subject.ALIAS}


def event_to_proto(event: Event) -> pb.Event:
    """An event as a message."""
    return pb.Event(
        subject=_SUBJECTS[event.subject],
        type=_TYPES[event.type],
        time=ms_to_proto(event.time),
        principal=event.principal,
        experiment_id="" if event.experiment_id is None else str(event.experiment_id),
        run_id=event.id if event.subject is Subject.RUN else "",
        model_id=event.id if event.subject is Subject.LOGGED_MODEL else "",
        name=event.id if event.subject in _OF_REGISTRY else "",
        version=event.version,
        alias=event.alias,
        changes=[pb.EventChange(field=c.field, old_value=c.old, new_value=c.new) for c in event.changes],
        metrics=[
            pb.EventMetric(
                key=m.key, value=m.value, timestamp=ms_to_proto(m.timestamp), step=m.step, point_count=m.count
            )
            for m in event.metrics
        ],
        truncated=event.truncated,
    )


def wanted_from_proto(types: Iterable[int], alias: str = "") -> Callable[[Event], bool]:
    """Which events a request asks for.

    Raises:
        InvalidArgument: This server does not know a type.
    """
    known: set[EventType] = set()
    for number in types:
        found = _FROM_TYPE.get(number)
        if found is None:
            raise InvalidArgument(f"{number} is no type of event that this server knows.", field="types")
        known.add(found)

    def is_wanted(event: Event) -> bool:
        if known and event.type not in known:
            return False
        return not alias or event.alias == alias or _renames(event)

    return is_wanted


def _renames(event: Event) -> bool:
    return event.subject is Subject.REGISTERED_MODEL and any(change.field == "name" for change in event.changes)
