"""Experiments."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from holdfast.entities import _html


class ViewType(enum.IntEnum):
    """Which lifecycle stages a search returns."""

    ACTIVE_ONLY = 1
    DELETED_ONLY = 2
    ALL = 3


@dataclass(frozen=True, slots=True)
class ExperimentTag:
    """A label of an experiment."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A group of runs and logged models.

    Attributes:
        experiment_id: A decimal number as text; ``"0"`` is Default.
        name: Unique.
        artifact_location: What was given when it was created, else empty. Artifacts are reached through the server, by
            their run or model, wherever this says.
        lifecycle_stage: ``"active"`` or ``"deleted"``.
        tags: Labels by key.
        creation_time: Milliseconds since 1970, UTC.
        last_update_time: The same.
    """

    experiment_id: str
    name: str
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    tags: dict[str, str] = field(default_factory=dict, hash=False)
    creation_time: int | None = None
    last_update_time: int | None = None

    def _repr_html_(self) -> str:
        return _html.table(
            f"Experiment {self.name}", {"id": self.experiment_id, "stage": self.lifecycle_stage, "tags": self.tags}
        )
