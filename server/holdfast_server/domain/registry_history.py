"""What happened to registered models and their versions, and who did it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

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
