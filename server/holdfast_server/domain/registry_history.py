"""What happened to registered models and their versions, and who did it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast_server.domain import event
from holdfast_server.domain.names import check_user_id


class ChangeKind(str, enum.Enum):
    """What a change was about; ``registry_change.proto`` says what its values are."""

    MODEL_CREATED = "MODEL_CREATED"
    MODEL_RENAMED = "MODEL_RENAMED"
    MODEL_DELETED = "MODEL_DELETED"
    VERSION_CREATED = "VERSION_CREATED"
    VERSION_DELETED = "VERSION_DELETED"
    DESCRIPTION_CHANGED = "DESCRIPTION_CHANGED"
    TAG_CHANGED = "TAG_CHANGED"
    STAGE_CHANGED = "STAGE_CHANGED"
    ALIAS_CHANGED = "ALIAS_CHANGED"
    PICKLE_CHANGED = "PICKLE_CHANGED"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: as the server knows (empty without authentication), and as the client says."""

    principal: str = ""
    user_id: str = ""

    def __post_init__(self) -> None:
        check_user_id(self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change. ``version`` is 0 for the model itself; ``old`` and ``new`` are None where nothing was or is."""

    kind: ChangeKind
    name: str
    version: int = 0
    key: str = ""
    old: str | None = None
    new: str | None = None
    tree_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change as history has it. ``time`` is milliseconds since 1970."""

    number: int
    time: int
    actor: Actor
    change: Change


_TYPES = {
    ChangeKind.MODEL_CREATED: event.EventType.CREATED,
    ChangeKind.MODEL_DELETED: event.EventType.DELETED,
    ChangeKind.VERSION_CREATED: event.EventType.CREATED,
    ChangeKind.VERSION_DELETED: event.EventType.DELETED,
}
# What an event calls what changed; the rest has no fields of its own.
_FIELDS = {
    ChangeKind.MODEL_RENAMED: "name",
    ChangeKind.VERSION_CREATED: "source",
    ChangeKind.DESCRIPTION_CHANGED: "description",
    ChangeKind.STAGE_CHANGED: "stage",
    ChangeKind.ALIAS_CHANGED: "version",
    ChangeKind.PICKLE_CHANGED: "pickle",
}


def event_of(changes: Sequence[Change], number: int, actor: Actor) -> event.Event:
    """What those who watch are told of changes that were made together to one thing, the first saying how.

    Args:
        changes: At least one.
        number: The storage's own name of the registered model.
        actor: Who made them.
    """
    first, subject, alias, version = changes[0], event.Subject.REGISTERED_MODEL, "", changes[0].version
    type_ = _TYPES.get(first.kind, event.EventType.UPDATED)
    if first.kind is ChangeKind.ALIAS_CHANGED:
        subject, alias, version = event.Subject.ALIAS, first.key, int(first.new or 0)
        if first.old is None or first.new is None:
            type_ = event.EventType.CREATED if first.old is None else event.EventType.DELETED
    elif version:
        subject = event.Subject.MODEL_VERSION
    named = [c for c in sorted(changes, key=_place) if c.kind in _FIELDS or c.kind is ChangeKind.TAG_CHANGED]
    listed, truncated = event.bounded(
        event.Change(_FIELDS.get(change.kind, f"tags.{change.key}"), change.old, change.new) for change in named
    )
    return event.Event(
        subject=subject,
        type=type_,
        number=number,
        id=first.name,
        version=version,
        alias=alias,
        changes=listed,
        truncated=truncated,
        principal=actor.principal,
    )


def _place(change: Change) -> int:
    """A new name first and tags last: what is left out of a long event must not be the name."""
    return {ChangeKind.MODEL_RENAMED: 0, ChangeKind.TAG_CHANGED: 2}.get(change.kind, 1)
