"""Experiments, tags, and the lifecycle that everything shares."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast_server.domain.names import check_count, check_given_key, check_key, check_length, shown
from holdfast_server.errors import InvalidArgument

DEFAULT_EXPERIMENT_ID = 0
MAX_TAGS_PER_REQUEST = 100
MAX_ARTIFACT_LOCATION = 2_048


class Lifecycle(str, enum.Enum):
    """What is kept, and what is deleted and can still be restored."""

    ACTIVE = "active"
    DELETED = "deleted"


class ViewType(enum.Enum):
    """Which lifecycles a search returns."""

    ACTIVE_ONLY = (Lifecycle.ACTIVE,)
    DELETED_ONLY = (Lifecycle.DELETED,)
    ALL = (Lifecycle.ACTIVE, Lifecycle.DELETED)


class TagLimit(enum.IntEnum):
    """Most characters of a tag's value, by what carries it."""

    INPUT = 500
    RUN = 8_000
    EXPERIMENT = 20_000
    MODEL = 100_000


class Tag(NamedTuple):
    """A mutable label. ``parse`` checks what callers send; rows are trusted, so that limits can change."""

    key: str
    value: str

    @classmethod
    def parse(cls, key: str, value: str, limit: TagLimit) -> Tag:
        """A caller's tag.

        Raises:
            InvalidArgument: INVALID_NAME for the key, LIMIT_EXCEEDED for the value.
        """
        check_key(key, what="A tag key", field="tags")
        return cls(key, check_length(value, limit, what=f"The value of tag {shown(key)}", field="tags"))


@dataclass(frozen=True, slots=True)
class TagChanges:
    """Tags to set and keys to remove, in one step."""

    tags: tuple[Tag, ...] = ()
    deleted_keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, tags: Iterable[tuple[str, str]], deleted_keys: Iterable[str], limit: TagLimit) -> TagChanges:
        """A caller's changes; of a key that comes twice the last value counts.

        Raises:
            InvalidArgument: A key or value breaks its rule, there are more than 100, or a key is both set and removed.
        """
        pairs, removed = list(tags), list(dict.fromkeys(deleted_keys))
        check_count(len(pairs), MAX_TAGS_PER_REQUEST, what="tags", field="tags")
        check_count(len(removed), MAX_TAGS_PER_REQUEST, what="tag keys to remove", field="deleted_tag_keys")
        parsed = {key: Tag.parse(key, value, limit) for key, value in pairs}
        for key in removed:
            check_given_key(key, what="A tag key", field="deleted_tag_keys")
            if key in parsed:
                raise InvalidArgument(
                    f"Tag {shown(key)} is both set and removed; do one of the two.", field="deleted_tag_keys"
                )
        return cls(tuple(parsed.values()), tuple(removed))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A group of runs and logged models. Times are milliseconds since 1970.

    ``artifact_location`` is what a caller said of it; no artifact is stored by it.
    """

    id: int
    name: str
    lifecycle: Lifecycle
    create_time: int
    update_time: int
    tags: tuple[Tag, ...] = field(default=())
    artifact_location: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it is in use."""
        return self.lifecycle is Lifecycle.ACTIVE
