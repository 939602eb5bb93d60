"""Events: what changed, as those who watch are told."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from holdfast_server.domain.run import Metric

# Changes and metrics that one event lists, and characters of a value; what is watched itself has all of it.
MAX_LISTED = 100
MAX_VALUE = 500


class Subject(str, enum.Enum):
    """The kind of thing that changed."""

    EXPERIMENT = "EXPERIMENT"
    RUN = "RUN"
    LOGGED_MODEL = "LOGGED_MODEL"
    REGISTERED_MODEL = "REGISTERED_MODEL"
    MODEL_VERSION = "MODEL_VERSION"
    ALIAS = "ALIAS"


class EventType(str, enum.Enum):
    """What happened to it."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    METRICS = "METRICS"
    ARTIFACTS = "ARTIFACTS"
    DELETED = "DELETED"
    RESTORED = "RESTORED"
    LOST = "LOST"
    RETURNED = "RETURNED"
    PURGED = "PURGED"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was; None: nothing, or not recorded."""

    field: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class MetricChange:
    """The points of one key in one batch: how many, and the newest."""

    key: str
    value: float
    timestamp: int
    step: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change.

    Attributes:
        subject: What changed.
        type: How.
        number: The storage's own name of the experiment, run or model; of versions and aliases, that of their model.
        id: The experiment's, run's or logged model's; the registered model's name.
        experiment_id: None for what belongs to the registry.
        version: Of versions and aliases.
        alias: Of aliases.
        changes: What is not as it was.
        metrics: What a run logged.
        truncated: Whether there was more.
        sequence: The place in the order of all events; 0 before it is recorded.
        time: Milliseconds since 1970.
        principal: Who did it; empty when nobody knows.
    """

    subject: Subject
    type: EventType
    number: int
    id: str
    experiment_id: int | None = None
    version: int = 0
    alias: str = ""
    changes: tuple[Change, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    truncated: bool = False
    sequence: int = 0
    time: int = 0
    principal: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a watch covers: a run, a registered model, or an experiment with its runs and logged models."""

    subject: Subject
    number: int
    experiment_id: int | None

    @classmethod
    def run(cls, number: int, experiment_id: int) -> Scope:
        """A run; that its experiment is deleted or restored is a change of it."""
        return cls(Subject.RUN, number, experiment_id)

    @classmethod
    def experiment(cls, experiment_id: int) -> Scope:
        """An experiment with all in it."""
        return cls(Subject.EXPERIMENT, experiment_id, experiment_id)

    @classmethod
    def registered_model(cls, number: int) -> Scope:
        """A registered model with its versions and aliases."""
        return cls(Subject.REGISTERED_MODEL, number, None)

    def ends_with(self, event: Event) -> bool:
        """Whether nothing can come after one of its events: what it covers is gone for good."""
        last = EventType.DELETED if self.subject is Subject.REGISTERED_MODEL else EventType.PURGED
        return event.type is last and (event.subject, event.number) == (self.subject, self.number)


def concerns_runs(event: Event) -> bool:
    """Whether an event of an experiment is one of each of its runs too."""
    return event.subject is Subject.EXPERIMENT and event.type in {EventType.DELETED, EventType.RESTORED}


def bounded(changes: Iterable[Change]) -> tuple[tuple[Change, ...], bool]:
    """As much of the changes as an event holds, and whether that is not all."""
    listed = list(changes)
    cut = [Change(c.field, _cut(c.old), _cut(c.new)) for c in listed[:MAX_LISTED]]
    return tuple(cut), cut != listed


def summarized(metrics: Iterable[Metric], newest: Mapping[str, Metric]) -> tuple[tuple[MetricChange, ...], bool]:
    """What a batch of metrics is to those who watch, and whether that is not all of its keys.

    Args:
        metrics: All points.
        newest: The newest of each key.
    """
    counts: dict[str, int] = {}
    for metric in metrics:
        counts[metric.key] = counts.get(metric.key, 0) + 1
    listed = tuple(
        MetricChange(m.key, m.value, m.timestamp, m.step, counts[m.key]) for m in list(newest.values())[:MAX_LISTED]
    )
    return listed, len(newest) > MAX_LISTED


def _cut(value: str | None) -> str | None:
    return value if value is None else value[:MAX_VALUE]
