"""Events as users see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from holdfast._calls import texts
from holdfast._times import ms_from_proto
from holdfast.entities import Event, EventChange, EventMetric
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import event_pb2

_SUBJECT_PREFIX, _TYPE_PREFIX = "EVENT_SUBJECT_", "EVENT_TYPE_"
UNKNOWN = "UNKNOWN"


def event_from_proto(proto: event_pb2.Event, cursor: str) -> Event:
    """An event as users see it."""
    return Event(
        type=_name(event_pb2.EventType, proto.type, _TYPE_PREFIX),
        subject=_name(event_pb2.EventSubject, proto.subject, _SUBJECT_PREFIX),
        cursor=cursor,
        timestamp=ms_from_proto(proto.time),
        principal=proto.principal,
        experiment_id=proto.experiment_id or None,
        run_id=proto.run_id or None,
        model_id=proto.model_id or None,
        name=proto.name or None,
        version=str(proto.version) if proto.version else None,
        alias=proto.alias or None,
        changes=[
            EventChange(
                change.field,
                change.old_value if change.HasField("old_value") else None,
                change.new_value if change.HasField("new_value") else None,
            )
            for change in proto.changes
        ],
        metrics=[EventMetric(m.key, m.value, ms_from_proto(m.timestamp), m.step, m.point_count) for m in proto.metrics],
        truncated=proto.truncated,
    )


def event_types_to_proto(types: str | Iterable[str] | None) -> list[event_pb2.EventType]:
    """Types of events as they travel.

    Raises:
        InvalidArgumentError: There is no such type.
    """
    names = texts(types)
    known = dict(event_pb2.EventType.items())
    for name in names:
        if name == "UNSPECIFIED" or _TYPE_PREFIX + str(name) not in known:
            listed = ", ".join(key.removeprefix(_TYPE_PREFIX) for key, number in known.items() if number)
            raise InvalidArgumentError(f"{name!r:.80} is no type of event: it is one of {listed}.")
    return [cast("event_pb2.EventType", known[_TYPE_PREFIX + name]) for name in names]


def _name(enum: Any, number: int, prefix: str) -> str:
    """The name of a value; one that this client is too old to know has none."""
    try:
        return str(enum.Name(number)).removeprefix(prefix)
    except ValueError:
        return UNKNOWN
