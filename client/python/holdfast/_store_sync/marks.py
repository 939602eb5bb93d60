"""What of a store's run, logged model or experiment has arrived: labels at the target, written with what they speak of.

A value that changed at the source since it was sent is sent again; one that did not is left as it is at the target, so
that what somebody changed there stays. For this the target keeps, beside the tags that came, a short digest of each.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast._calls import MAX_BATCH_BYTES, MAX_BATCH_TAGS
from holdfast._own_tags import SYNC_TAG, without_own
from holdfast.v1 import experiment_pb2

# Labels that are this module's own begin so, and are not sent from one store to the next.
PREFIX = SYNC_TAG
# Bytes of a digest of a key or value: enough to tell the values of one key, or the keys of one run, from each other.
_SHORT = 6
_PAIR = 2 * _SHORT
# Pairs in one label: 7,200 characters, and a label holds 8,000.
_PAIRS = 450


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags to set and keys to remove, in one request that also says that this was done."""

    tags: list[experiment_pb2.Tag]
    removed: list[str]
    count: int


class TagMarks:
    """Which tags of something were sent, and with what values.

    Attributes:
        is_new: Whether nothing was ever sent.
    """

    def __init__(self, target: Mapping[str, str], prefix: str = PREFIX) -> None:
        """Read them from the tags at the target."""
        self._prefix = f"{prefix}.tags."
        texts = {key: value for key, value in target.items() if key.startswith(self._prefix)}
        self._labels = set(texts)
        self.is_new = not texts
        self._sent: dict[bytes, bytes] = {}
        for text in texts.values():
            # A label that somebody wrote over: its tags count as not sent, which at worst sends them once more.
            with contextlib.suppress(ValueError):
                data = base64.b64decode(text, validate=True)
                self._sent.update(
                    (data[at : at + _SHORT], data[at + _SHORT : at + _PAIR]) for at in range(0, len(data), _PAIR)
                )

    def changes(self, source: Mapping[str, str], target: Mapping[str, str]) -> Iterable[TagChange]:
        """What makes the target's tags follow the source's, in requests to be made in this order.

        What changed at the source is set or removed, whatever stands at the target. When nothing was ever sent, values
        that the target has are left alone: they are somebody else's.
        """
        source = without_own(source)
        keys = {_short(key): key for key in target}
        pending = [key for key, value in sorted(source.items()) if self._sent.get(_short(key)) != _short(value)]
        gone = self._sent.keys() - {_short(key) for key in source}
        is_first = self.is_new
        while pending or gone:
            tags: list[experiment_pb2.Tag] = []
            removed: list[str] = []
            labels = len(self._sent) // _PAIRS + 2
            room, size = max(1, MAX_BATCH_TAGS - labels - 1), MAX_BATCH_BYTES - labels * 10_000
            while gone and len(removed) < room:
                short = gone.pop()
                del self._sent[short]
                if short in keys:
                    removed.append(keys[short])
            while pending and len(tags) < room and size > 0:
                key = pending.pop()
                value = source[key]
                self._sent[_short(key)] = _short(value)
                if target.get(key) != value and not (is_first and key in target):
                    tags.append(experiment_pb2.Tag(key=key, value=value))
                    size -= tags[-1].ByteSize()
            count = len(tags) + len(removed)
            texts = self._texts()
            tags += [experiment_pb2.Tag(key=key, value=value) for key, value in texts.items()]
            removed += sorted(self._labels - texts.keys())
            self._labels = set(texts)
            yield TagChange(tags, removed, count)

    def _texts(self) -> dict[str, str]:
        pairs = [key + value for key, value in sorted(self._sent.items())]
        parts = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)] or [[]]
        return {
            f"{self._prefix}{number}": base64.b64encode(b"".join(part)).decode() for number, part in enumerate(parts)
        }


@dataclass(slots=True)
class Record:
    """What of a run or logged model has arrived besides its tags.

    Attributes:
        store_id: The store that it came from.
        points: How many points have, at least.
        tree: The number of the source's snapshot whose files have.
        end: Status and end, as ``end_of`` says them.
        stage: "active"; "deleted" when it is, and was sent whole; "part" when it is, and only its name was sent, since
            others name it.
    """

    store_id: str
    points: int = 0
    tree: int = 0
    end: str = ""
    stage: str = "active"
    _stored: str = field(default="", repr=False, compare=False)

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Record | None:
        """What the target's tags say; None for something that no store sent."""
        text = tags.get(PREFIX)
        if text is None:
            return None
        try:
            fields: dict[str, Any] = json.loads(text)
            record = cls(
                str(fields["store"]),
                int(fields.get("points", 0)),
                int(fields.get("tree", 0)),
                str(fields.get("end", "")),
                str(fields.get("stage", "active")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        record._stored = text
        return record

    @property
    def is_changed(self) -> bool:
        """Whether it is not as the target's tags had it."""
        return self._text() != self._stored

    def to_tag(self) -> experiment_pb2.Tag:
        """The label that says so at the target."""
        self._stored = self._text()
        return experiment_pb2.Tag(key=PREFIX, value=self._stored)

    def _text(self) -> str:
        fields = {"store": self.store_id, "points": self.points, "tree": self.tree, "end": self.end}
        return json.dumps({**fields, "stage": self.stage}, separators=(",", ":"))


def _short(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_SHORT]
