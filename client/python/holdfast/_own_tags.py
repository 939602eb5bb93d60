"""Tags in which Holdfast keeps books for itself: people are not shown them unless they ask for one by its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

# What of something has arrived by a sync of a store: this key, and those that go on with a dot.
SYNC_TAG = "holdfast.sync"

Value = TypeVar("Value")


def is_own(key: str) -> bool:
    """Whether a tag of this key is Holdfast's own."""
    return key == SYNC_TAG or key.startswith(f"{SYNC_TAG}.")


def is_own_field(field: str) -> bool:
    """The same of what an event or a line of history says has changed, such as ``tags.<key>``."""
    kind, _, key = field.partition(".")
    return kind == "tags" and is_own(key)


def without_own(tags: Mapping[str, Value]) -> dict[str, Value]:
    """Tags without Holdfast's own, in their order."""
    return {key: value for key, value in tags.items() if not is_own(key)}
