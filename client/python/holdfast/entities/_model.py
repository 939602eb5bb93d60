"""Logged models."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast.entities import _html
from holdfast.entities._run import Metric


class LoggedModelStatus(str, enum.Enum):
    """Where a logged model stands. Members equal their names."""

    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"

    __str__ = str.__str__

    def is_finalized(self) -> bool:
        """Whether the model's artifacts can no longer change."""
        return self is not LoggedModelStatus.PENDING


@dataclass(frozen=True, slots=True)
class LoggedModelParameter:
    """An input of a logged model that never changes."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class LoggedModelTag:
    """A label of a logged model."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """A model that a run or a user logged.

    Attributes:
        model_id: ``m-`` and 32 hex digits.
        experiment_id: The experiment it belongs to.
        name: Not unique.
        artifact_location: ``models:/<model_id>``.
        creation_timestamp: Milliseconds since 1970, UTC.
        last_updated_timestamp: The same.
        model_type: Such as ``"classifier"``; None when none was given.
        source_run_id: The run that logged it; None without one.
        status: Where it stands.
        status_message: Why it failed, when it did.
        lifecycle_stage: ``"active"`` or ``"deleted"``.
        tags: Labels by key.
        params: Inputs by key.
        metrics: The newest point of each key and dataset.
        registrations: Pairs of registered model and version made of it.
        principal: Who logged it, as the server knows; None without authentication, when somebody else wrote to its
            files as well, and when it was imported or synced.
    """

    model_id: str
    experiment_id: str
    name: str
    artifact_location: str = ""
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    model_type: str | None = None
    source_run_id: str | None = None
    status: LoggedModelStatus = LoggedModelStatus.PENDING
    status_message: str | None = None
    lifecycle_stage: str = "active"
    tags: dict[str, str] = field(default_factory=dict, hash=False)
    params: dict[str, str] = field(default_factory=dict, hash=False)
    metrics: list[Metric] = field(default_factory=list, hash=False)
    registrations: list[tuple[str, str]] = field(default_factory=list, hash=False)
    principal: str | None = None

    @property
    def model_uri(self) -> str:
        """``models:/<model_id>``."""
        return f"models:/{self.model_id}"

    def to_dictionary(self) -> dict[str, Any]:
        """Everything as plain dicts and lists."""
        return asdict(self)

    def _repr_html_(self) -> str:
        return _html.table(
            f"Logged model {self.name}",
            {
                "id": self.model_id,
                "status": self.status.value,
                "type": self.model_type,
                "run": self.source_run_id,
                "params": self.params,
                "metrics": {metric.key: metric.value for metric in self.metrics},
                "versions": [f"{name} v{version}" for name, version in self.registrations],
            },
        )
